"""Deployments keep a history, share traffic and roll back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from everloop.evaluation import Evaluation
from everloop.registry import Model, Registry
from everloop.serving import Serving
from everloop.serving.service import DeploymentNotFoundError, NothingToRollBackError, NotServedError

if TYPE_CHECKING:
    from everloop.kernel.operations import Kernel


@pytest.fixture
def serving(any_kernel: Kernel) -> Serving:
    registry = Registry(any_kernel, evaluation=Evaluation(any_kernel))
    for slope in (1.0, 2.0):
        estimator = LinearRegression().fit(np.array([[0.0], [1.0]]), [0.0, slope])
        registry.register("m", Model(estimator, features=["a"], target="y", example={"a": [0.0, 1.0]}))
    return Serving(any_kernel, registry=registry)


def test_a_rollback_of_a_canary_gives_all_back_to_the_main_version(serving: Serving) -> None:
    serving.deploy("d", "m@v1")
    serving.set_weights("d", {1: 0.9, 2: 0.1})
    assert serving.rollback("d", reason="worse").weights == {1: 1.0}
    assert [routing.generation for routing in serving.history("d")] == [3, 2, 1]
    assert serving.kernel.events.read(kinds=["deployment.rolled_back"])[0].payload["reason"] == "worse"


def test_a_rollback_after_a_promotion_returns_to_the_version_before(serving: Serving) -> None:
    serving.deploy("d", "m@v1")
    serving.set_weights("d", {1: 0.9, 2: 0.1})
    serving.set_weights("d", {2: 1.0})
    assert serving.rollback("d").weights == {1: 1.0}


def test_the_first_version_cannot_be_rolled_back(serving: Serving) -> None:
    serving.deploy("d", "m@v1")
    with pytest.raises(NothingToRollBackError, match="no earlier version"):
        serving.rollback("d")


def test_an_unknown_deployment_says_how_to_make_it(serving: Serving) -> None:
    with pytest.raises(DeploymentNotFoundError, match="everloop deploy d MODEL@VERSION"):
        serving.get("d")


def test_without_a_gateway_nothing_is_served(serving: Serving) -> None:
    serving.deploy("d", "m@v1")
    with pytest.raises(NotServedError, match="is `everloop up` running"):
        serving.wait_until_served("d", timeout_s=0.05)


def test_pausing_twice_is_told_once(serving: Serving) -> None:
    serving.deploy("d", "m@v1")
    assert serving.pause("d").generation == serving.pause("d").generation == 2
    assert len(serving.kernel.events.read(kinds=["deployment.paused"])) == 1


def test_a_version_scores_a_table_in_process(serving: Serving) -> None:
    assert serving.score("m@v2", {"a": [3.0]}).tolist() == pytest.approx([6.0])
