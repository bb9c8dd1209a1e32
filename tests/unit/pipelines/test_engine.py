"""How one run goes: what is tried again, what is ended for its time, what a cancellation leaves."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from everloop.data.service import Data
from everloop.pipelines import Pipelines, pipeline, step
from everloop.tracking import Tracking

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.pipelines.conftest import Project

    from everloop.kernel.operations import Kernel
    from everloop.pipelines.records import PipelineRun


@pytest.fixture
def pipelines(kernel: Kernel) -> Pipelines:
    return Pipelines(kernel, data=Data(kernel), tracking=Tracking(kernel))


def statuses(run: PipelineRun) -> dict[str, str]:
    return {item.node: item.status for item in run.steps}


def test_a_step_that_fails_every_time_is_given_up_after_its_retries(pipelines: Pipelines) -> None:
    @step(retries=2, backoff=0.01, cache=False)
    def fetch() -> int:
        raise OSError("away")

    @pipeline
    def flow() -> int:
        return fetch()

    run = pipelines.run(flow)

    assert [item.status for item in pipelines.attempts(run.id)] == ["failed"] * 3
    assert (run.status, run.error) == ("failed", "fetch: OSError: away")


def test_while_one_step_rests_another_runs(pipelines: Pipelines) -> None:
    order: list[str] = []

    def note(name: str) -> None:
        order.append(name)
        if order.count("flaky") == 1 and name == "flaky":
            raise OSError("away")

    @step(retries=1, backoff=0.1, cache=False)
    def flaky() -> int:
        note("flaky")
        return 1

    @step(cache=False)
    def steady() -> int:
        note("steady")
        return 2

    @pipeline
    def flow() -> tuple[int, int]:
        return flaky(), steady()

    assert pipelines.result(pipelines.run(flow)) == (1, 2)
    assert order == ["flaky", "steady", "flaky"]


def test_a_step_past_its_time_is_tried_again_in_a_new_process(
    pipelines: Pipelines, project: Project, tmp_path: Path
) -> None:
    project.write(
        flow="""
        import time
        from pathlib import Path
        from everloop.pipelines import pipeline, step
        @step(timeout=3, retries=1, backoff=0.01)
        def slow(marker: str) -> int:
            if not Path(marker).exists():
                Path(marker).touch()
                time.sleep(60)
            return 3
        @pipeline
        def flow(marker: str) -> int:
            return slow(marker)
        """
    )
    began = time.monotonic()

    run = pipelines.run(project.flow().flow, {"marker": str(tmp_path / "marker")}, executor="process")

    attempts = pipelines.attempts(run.id)
    assert [item.status for item in attempts] == ["timed_out", "done"]
    assert "took longer than 3" in attempts[0].error
    assert time.monotonic() - began < 20


def test_a_step_that_returns_another_number_of_values_fails_by_name(pipelines: Pipelines) -> None:
    @step
    def pair() -> tuple[int, int]:
        return (1,)  # type: ignore[return-value] # on purpose

    @pipeline
    def flow() -> int:
        first, _ = pair()
        return first

    run = pipelines.run(flow)

    assert statuses(run) == {"pair": "failed"}
    assert "pair" in run.error


def test_a_run_that_is_cancelled_under_way_keeps_what_was_done(pipelines: Pipelines) -> None:
    @step
    def first() -> int:
        return 1

    @step
    def second(x: int) -> int:
        pipelines.cancel(pipelines.runs()[0].id)
        return x

    @step
    def third(x: int) -> int:
        return x

    @pipeline
    def flow() -> int:
        return third(second(first()))

    run = pipelines.run(flow)

    assert run.status == "cancelled"
    assert statuses(run)["first"] == "done"
    assert statuses(run)["third"] == "pending"
    assert pipelines.tracking.get_run(run.id).status == "killed"


def test_every_change_of_a_step_is_told(pipelines: Pipelines) -> None:
    told: list[tuple[str, str]] = []

    @step
    def one() -> int:
        return 1

    @pipeline
    def flow() -> int:
        return one()

    for _ in range(2):
        pipelines.run(flow, cache=True, listener=lambda node, status, _: told.append((node, status)))

    assert told == [("one", "running"), ("one", "done"), ("one", "cached")]


def test_a_pipeline_without_steps_returns_what_it_was_given(pipelines: Pipelines) -> None:
    @pipeline
    def flow(x: int) -> list[int]:
        return [x, 2]

    assert pipelines.result(pipelines.run(flow, {"x": 1})) == [1, 2]
