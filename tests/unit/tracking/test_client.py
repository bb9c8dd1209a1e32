"""A run in a program: what it accepts, and how it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from everloop.tracking import Tracking, current_run, log
from everloop.tracking.client import flatten
from everloop.tracking.naming import BadNameError, TextTooLongError

if TYPE_CHECKING:
    from everloop.kernel.operations import Kernel


@pytest.fixture
def tracking(kernel: Kernel) -> Tracking:
    return Tracking(kernel)


def test_each_metric_counts_its_own_steps_and_a_given_step_moves_it(tracking: Tracking) -> None:
    with tracking.start() as run:
        run.log(a=1.0)
        run.log(a=2.0, b=0.1)
        run.log({"valid/auc": 0.5}, step=10)
        run.log({"valid/auc": 0.6})

    assert [(point.name, point.step) for point in tracking.history(run.id)] == [
        ("a", 0.0), ("a", 1.0), ("b", 0.0), ("valid/auc", 10.0), ("valid/auc", 11.0),
    ]  # fmt: skip


def test_numbers_of_other_kinds_are_taken_when_they_are_logged(tracking: Tracking) -> None:
    moving = np.zeros(())
    with tracking.start() as run:
        run.log(a=1, b=np.float32(0.5), c=moving)
        moving += 1

    assert {metric.name: metric.value for metric in tracking.get_run(run.id).metrics} == {
        "a": 1.0,
        "b": 0.5,
        "c": 0.0,
    }


def test_params_are_plain_when_they_are_kept(tracking: Tracking) -> None:
    given: Any = {
        "layers": [1, 2],
        "optimizer": {"name": "adam", "lr": 0.1, "extra": {}},
        "best": float("inf"),
    }
    with tracking.start(params=given) as run:
        run.log_params(depth=np.int64(3), flag=True, none=None)
        run.tag(who="ada", try_=2)

    kept = tracking.get_run(run.id)
    assert kept.params == {
        "layers": "[1, 2]",
        "optimizer.name": "adam",
        "optimizer.lr": 0.1,
        "optimizer.extra": "{}",
        "best": "inf",
        "depth": 3,
        "flag": True,
        "none": None,
    }
    assert kept.tags == {"who": "ada", "try_": "2"}


def test_nested_params_become_dotted_names() -> None:
    assert flatten({"a": {"b": {"c": 1}}, "d": 2}) == {"a.b.c": 1, "d": 2}


def test_a_text_that_is_too_long_is_refused_where_it_is_set(tracking: Tracking) -> None:
    with tracking.start() as run:
        with pytest.raises(TextTooLongError, match="artifact"):
            run.log_params(text="x" * 1_000_000)
        with pytest.raises(BadNameError):
            run.tag(**{"": "x"})
    assert tracking.get_run(run.id).params == {}


def test_runs_inside_runs_come_back_to_the_outer_one(tracking: Tracking) -> None:
    with tracking.start() as outer:
        with tracking.start(parent=outer.id) as inner:
            assert current_run() is inner
        log(loss=1.0)

    assert current_run() is None
    assert [point.value for point in tracking.history(outer.id)] == [1.0]
    assert tracking.get_run(inner.id).parent == outer.id


def test_a_run_that_is_finished_takes_no_more_values(
    tracking: Tracking, caplog: pytest.LogCaptureFixture
) -> None:
    with tracking.start() as run:
        run.log(loss=1.0)
    run.log(loss=2.0)
    run.finish("failed")

    assert "finished" in caplog.text
    assert tracking.get_run(run.id).status == "finished"
    assert len(tracking.history(run.id)) == 1


def test_a_step_sends_its_values_in_batches_of_its_own(tracking: Tracking) -> None:
    run = tracking.attach(tracking.create_run(id="r1").id)
    other = tracking.attach("r1")
    for one in (run, other, run):
        one.log(loss=1.0)
        one.flush()
    for _ in range(1_500):
        run.log(acc=1.0)
    sent = tracking.get_run("r1").metrics[0].count
    run.flush()

    assert 1_000 <= sent < 1_500
    assert {metric.name: metric.count for metric in tracking.get_run("r1").metrics} == {
        "acc": 1_500,
        "loss": 3,
    }
