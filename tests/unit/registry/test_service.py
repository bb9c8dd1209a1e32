"""Versions never change, aliases move with a history, gates keep their evidence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import lightgbm
import numpy as np
import pandas as pd
import pytest

from everloop.core.actors import Actor, acting_as
from everloop.registry.model import Model
from everloop.registry.records import Condition, Gate
from everloop.registry.service import InvalidModelNameError, ModelNotFoundError, OwnApprovalError
from everloop.registry.tables import roots

if TYPE_CHECKING:
    from everloop.registry.service import Registry

START = datetime(2013, 1, 1, tzinfo=UTC)
GATE = Gate(
    conditions=[Condition(metric="log_loss", margin=0.005)], min_rows=100, min_labelled=100, max_age=""
)


def rows(days: int, *, first: int = 0) -> pd.DataFrame:
    generator = np.random.default_rng(first)
    a = generator.normal(size=days * 100)
    late = generator.random(days * 100) < 1 / (1 + np.exp(-2 * a))
    time = [START + timedelta(days=first + place // 100) for place in range(days * 100)]
    return pd.DataFrame({"time": time, "a": a, "b": generator.normal(size=days * 100), "late": late})


def train(frame: pd.DataFrame, *, feature_shuffle: bool = False, trees: int = 20) -> Model:
    used = frame.assign(a=frame["a"].to_numpy()[::-1]) if feature_shuffle else frame
    options = {"objective": "binary", "verbose": -1, "num_threads": 1, "num_leaves": 7}
    booster = lightgbm.train(options, lightgbm.Dataset(used[["a", "b"]], label=used["late"]), trees)
    return Model(booster, features=["a", "b"], target="late", positive=True, example=frame)


def test_a_version_is_found_by_number_alias_and_as_the_newest(registry: Registry) -> None:
    first = registry.register("delays", train(rows(3)), data=["flights@v1"], run="r1")
    second = registry.register("delays", train(rows(3), trees=3))
    registry.set_alias("delays", "champion", version=1)

    assert (first.ref, second.ref) == ("delays@v1", "delays@v2")
    assert registry.get("delays@champion") == first
    assert registry.get("delays") == second
    assert registry.list()[0].aliases == {"champion": 1}
    assert [version.version for version in registry.versions("delays")] == [2, 1]


def test_the_same_content_keeps_its_version(registry: Registry) -> None:
    model = train(rows(3))
    assert registry.register("delays", model) == registry.register("delays", model)
    assert len(registry.kernel.events.read(kinds=["model.registered"])) == 1


def test_a_loaded_version_scores_as_the_model_did(registry: Registry) -> None:
    model = train(rows(3))
    registry.register("delays", model)
    assert registry.score("delays@v1", rows(1)).tolist() == model.predict(rows(1)).tolist()
    assert registry.explain("delays@v1", rows(1)).importances[0].feature == "a"


def test_an_alias_keeps_its_history(registry: Registry) -> None:
    registry.register("delays", train(rows(3)))
    registry.register("delays", train(rows(3), trees=3))
    registry.set_alias("delays", "champion", version=1)
    registry.set_alias("delays", "champion", version=2, reason="better")
    registry.set_alias("delays", "champion", version=2)
    registry.drop_alias("delays", "champion")

    moves = [(move.previous, move.version) for move in registry.alias_history("delays", "champion")]
    assert moves == [(2, 0), (1, 2), (0, 1)]


def test_an_unknown_version_or_name_says_what_to_do(registry: Registry) -> None:
    with pytest.raises(ModelNotFoundError, match="everloop model versions delays"):
        registry.get("delays@v9")
    with pytest.raises(InvalidModelNameError, match="'v7' cannot be a name"):
        registry.register("v7", train(rows(3)))


def test_lineage_leads_from_data_and_run_to_the_version(registry: Registry) -> None:
    registry.register("delays", train(rows(3)), data=["flights@v1"], run="r1")
    edges = {(edge.source, edge.verb) for edge in registry.kernel.events.edges("model:delays@v1")}
    assert edges == {("dataset:flights@v1", "trained"), ("run:r1", "made")}


def test_roots_name_every_file_of_a_version(registry: Registry) -> None:
    version = registry.register("delays", train(rows(3)))
    with registry.kernel.catalog.read() as connection:
        kept = {digest for digest, _ in roots(connection)}
    assert kept == {version.digest, *version.files.values()}


def test_a_gate_passes_a_good_challenger_and_refuses_a_broken_one(registry: Registry) -> None:
    until = START + timedelta(days=10)
    registry.register("delays", train(rows(10), trees=3), trained_until=until)
    registry.register("delays", train(rows(10), trees=30), trained_until=until)
    registry.register("delays", train(rows(10), feature_shuffle=True), trained_until=until)
    fresh = rows(8, first=11)

    good = registry.check_gate(
        "delays@v2", fresh, champion="delays@v1", gate=GATE, time="time", data="flights@v2"
    )
    bad = registry.check_gate("delays@v3", fresh, champion="delays@v1", gate=GATE, time="time")

    assert good.result == "pass"
    assert bad.result == "fail"
    assert good.evidence["champion"] == registry.get("delays@v1").digest
    assert registry.gate_reports("delays", 3) == [bad]
    event = registry.kernel.events.read(kinds=["model.gated"])[1]
    assert event.payload["conditions"]["non_inferior:log_loss"].startswith("fail: worse")


def test_a_gate_refuses_rows_that_training_has_seen(registry: Registry) -> None:
    registry.register("delays", train(rows(10)), trained_until=START + timedelta(days=10))
    report = registry.check_gate("delays@v1", rows(8, first=9), gate=GATE, time="time")
    failed = [condition.name for condition in report.conditions if condition.result == "fail"]
    assert failed == ["unseen_by_challenger"]


def test_a_first_version_is_held_against_the_best_constant(registry: Registry) -> None:
    registry.register("delays", train(rows(10)), trained_until=START + timedelta(days=10))
    gate = Gate(conditions=[Condition(require="better")], max_age="")
    report = registry.check_gate("delays@v1", rows(8, first=11), gate=gate, time="time")
    assert report.result == "pass"


def test_an_approval_ends_when_the_version_is_judged_again(registry: Registry) -> None:
    registry.register("delays", train(rows(10)), trained_until=START + timedelta(days=10))
    registry.check_gate("delays@v1", rows(8, first=11), gate=GATE, time="time")
    approval = registry.approve("delays", 1, comment="looks right")
    assert registry.approvals("delays", 1) == [approval]

    registry.check_gate("delays@v1", rows(8, first=12), gate=GATE, time="time")
    assert registry.approvals("delays", 1) == []


def test_the_author_of_a_version_cannot_approve_it_and_another_person_can(registry: Registry) -> None:
    ada, bob = (
        Actor(name=f"user:{name}", roles=frozenset({"engineer", "approver"})) for name in ("ada", "bob")
    )
    with acting_as(ada):
        registry.register("delays", train(rows(10)), trained_until=START + timedelta(days=10))
    registry.check_gate("delays@v1", rows(8, first=11), gate=GATE, time="time")

    with acting_as(ada), pytest.raises(OwnApprovalError, match="Ask another person"):
        registry.approve("delays", 1)
    with acting_as(bob):
        registry.approve("delays", 1)

    assert [approval.actor for approval in registry.approvals("delays", 1)] == ["user:bob"]
