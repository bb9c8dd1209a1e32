"""Runs as a program and a reader see them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from everloop.tracking import DatasetInput, Tracking, current_run, log
from everloop.tracking.records import Point
from everloop.tracking.service import RunNotFoundError

if TYPE_CHECKING:
    from pathlib import Path

    from everloop.core.clock import ManualClock
    from everloop.kernel.operations import Kernel


@pytest.fixture
def tracking(any_kernel: Kernel) -> Tracking:
    return Tracking(any_kernel)


def test_a_run_keeps_params_tags_metrics_and_ends_finished(tracking: Tracking) -> None:
    with tracking.start(experiment="delays", name="first", params={"trees": 80}, tags={"who": "ada"}) as run:
        run.log(loss=0.7, step=0)
        run.log(loss=0.5, step=10)
        run.log_params(depth=3)

    kept = tracking.get_run(run.id)

    assert (kept.status, kept.experiment, kept.params) == ("finished", "delays", {"depth": 3, "trees": 80})
    assert [(metric.name, metric.value, metric.step) for metric in kept.metrics] == [("loss", 0.5, 10.0)]
    assert [point.value for point in tracking.history(run.id, name="loss")] == [0.7, 0.5]
    assert kept.ended_at is not None


def test_a_run_that_raises_ends_failed_with_the_reason(tracking: Tracking) -> None:
    with pytest.raises(ZeroDivisionError), tracking.start() as run:
        _ = 1 / 0

    assert tracking.get_run(run.id).status == "failed"
    assert "ZeroDivisionError" in tracking.get_run(run.id).error


def test_an_interrupted_run_ends_killed(tracking: Tracking) -> None:
    with pytest.raises(KeyboardInterrupt), tracking.start() as run:
        raise KeyboardInterrupt

    assert tracking.get_run(run.id).status == "killed"


def test_the_module_level_log_speaks_to_the_active_run_and_is_silent_without_one(tracking: Tracking) -> None:
    log(loss=1.0)

    with tracking.start() as run:
        assert current_run() is run
        log(loss=2.0)

    assert current_run() is None
    assert [point.value for point in tracking.history(run.id)] == [2.0]


def test_a_batch_that_comes_twice_counts_once(tracking: Tracking, clock: ManualClock) -> None:
    run = tracking.start()
    point = Point(name="loss", value=1.0, step=0.0, time=clock.now())

    added = [tracking.log_batch(run.id, writer="w", sequence=0, points=[point]) for _ in range(2)]

    assert added == [1, 0]
    assert len(tracking.history(run.id)) == 1


def test_the_last_value_is_that_of_the_highest_step(tracking: Tracking, clock: ManualClock) -> None:
    run = tracking.start()
    for sequence, step in enumerate((5.0, 2.0)):
        point = Point(name="loss", value=step, step=step, time=clock.now())
        tracking.log_batch(run.id, writer="w", sequence=sequence, points=[point])

    assert tracking.get_run(run.id).metrics[0].value == 5.0


def test_a_number_that_is_not_finite_is_kept_as_a_gap(tracking: Tracking) -> None:
    with tracking.start() as run:
        run.log(loss=float("nan"))

    assert tracking.history(run.id)[0].value is None


def test_an_artifact_is_found_by_its_name(tracking: Tracking, tmp_path: Path) -> None:
    file = tmp_path / "report.txt"
    file.write_text("good")
    with tracking.start() as run:
        run.log_artifact("report", file)
        run.log_artifact("raw", b"\x00")

    kept = {item.name: item for item in tracking.artifacts(run.id)}

    assert tracking.kernel.objects.get(kept["report"].digest) == b"good"
    assert kept["raw"].size_bytes == 1


def test_start_and_end_are_events_and_an_input_is_an_edge(tracking: Tracking) -> None:
    with tracking.start(inputs=[DatasetInput(name="flights", ref="flights@v3")]) as run:
        pass

    kinds = [event.kind for event in tracking.kernel.events.read(subject=f"run:{run.id}")]
    edges = tracking.kernel.events.edges(f"run:{run.id}")

    assert kinds == ["run.started", "run.finished"]
    assert [(edge.source, edge.verb) for edge in edges] == [("dataset:flights@v3", "read")]


def test_code_and_environment_are_captured(tracking: Tracking) -> None:
    run = tracking.start()

    captured = tracking.get_run(run.id).capture

    assert captured.environment is not None
    assert b"msgspec==" in tracking.kernel.objects.get(captured.environment)
    assert captured.python.startswith("3.")


def test_pages_of_runs_join_without_gap_or_overlap(tracking: Tracking) -> None:
    ids = [tracking.start(experiment="pages").id for _ in range(5)]

    first = tracking.list(experiment="pages", limit=3)
    second = tracking.list(experiment="pages", limit=3, after=first[-1].id)

    assert [run.id for run in first + second] == ids[::-1]
    assert [(item.name, item.runs) for item in tracking.experiments()] == [("pages", 5)]


def test_a_run_that_goes_on_is_running_again(tracking: Tracking) -> None:
    with tracking.start() as run:
        pass

    tracking.start(run_id=run.id)

    assert tracking.get_run(run.id).status == "running"
    assert [e.kind for e in tracking.kernel.events.read(subject=f"run:{run.id}")][-1] == "run.resumed"


def test_an_unknown_run_is_named(tracking: Tracking) -> None:
    with pytest.raises(RunNotFoundError, match="no run 42"):
        tracking.get_run("42")
