"""Contract suite for executors: subclass `ExecutorContract` in a test module and give the name of yours.

The suite checks the guarantees of `everloop.pipelines.executors.protocol.Executor` through whole runs. Tests:
tests/contract/test_executors.py.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, ClassVar

import pytest

from everloop.data.service import Data
from everloop.pipelines.bundles import import_file, pipelines_in
from everloop.pipelines.service import Pipelines
from everloop.tracking import Tracking

if TYPE_CHECKING:
    from pathlib import Path

    from everloop.kernel.operations import Kernel
    from everloop.pipelines.records import PipelineRun
    from everloop.pipelines.steps import AnyPipeline

FLOW = """
import os, time
from everloop.pipelines import pipeline, step
from everloop.tracking import log

@step
def numbers(n: int) -> list[int]:
    print("making", n)
    log(n=n)
    return list(range(n))

@step
def both(rows: list[int]) -> tuple[int, bytes]:
    rows.append(99)
    return sum(rows), b"x" * 10_000

@step
def size(rows: list[int], raw: bytes) -> dict[str, int]:
    return {"rows": len(rows), "bytes": len(raw)}

@pipeline
def plain(n: int) -> tuple[int, dict[str, int]]:
    rows = numbers(n)
    total, raw = both(rows)
    return total, size(rows, raw)

@step
def fail() -> int:
    raise ValueError("on purpose")

@pipeline
def failing() -> int:
    return fail()

@step(timeout=0.2)
def sleep() -> int:
    time.sleep(0.6)
    return 1

@pipeline
def sleeping() -> int:
    return sleep()

@step(retries=1, backoff=0.01)
def die_once(marker: str) -> int:
    if not os.path.exists(marker):
        open(marker, "w").close()
        os._exit(3)
    return 5

@pipeline
def dying(marker: str) -> int:
    return die_once(marker)
"""


class ExecutorContract:
    """Every executor passes these; `kernel` is the fixture of a fresh home.

    Attributes:
        executor: name of the executor under test.
        survives_death: whether a worker's death leaves the engine alive.
    """

    executor: ClassVar[str]
    survives_death: ClassVar[bool] = True

    @pytest.fixture
    def pipelines(self, kernel: Kernel) -> Pipelines:
        """Return the service on a fresh home."""
        return Pipelines(kernel, data=Data(kernel), tracking=Tracking(kernel))

    @pytest.fixture
    def flows(self, tmp_path: Path) -> dict[str, AnyPipeline]:
        """Return the pipelines of the suite, from a module of its own."""
        file = tmp_path / "contract_flow.py"
        file.write_text(FLOW)
        sys.modules.pop(file.stem, None)
        return pipelines_in(import_file(file))

    def run(self, pipelines: Pipelines, flow: AnyPipeline, **inputs: object) -> PipelineRun:
        """Run a pipeline with the executor under test."""
        return pipelines.run(flow, inputs, executor=self.executor)

    def test_values_reach_steps_through_the_store(
        self, pipelines: Pipelines, flows: dict[str, AnyPipeline]
    ) -> None:
        """A step that changes its argument in place changes nothing for another step."""
        run = self.run(pipelines, flows["plain"], n=4)

        assert pipelines.result(run) == (6 + 99, {"rows": 4, "bytes": 10_000})

    def test_log_lines_and_metrics_belong_to_the_attempt(
        self, pipelines: Pipelines, flows: dict[str, AnyPipeline]
    ) -> None:
        """What a step prints is in its attempt, what it logs in the tracked run."""
        run = self.run(pipelines, flows["plain"], n=4)

        assert "making 4" in pipelines.attempts(run.id, node="numbers")[0].log
        assert [metric.value for metric in pipelines.tracking.get_run(run.id).metrics] == [4.0]

    def test_an_error_of_a_step_is_an_outcome_with_its_traceback(
        self, pipelines: Pipelines, flows: dict[str, AnyPipeline]
    ) -> None:
        """The attempt has the text of the traceback, the run its last line."""
        run = self.run(pipelines, flows["failing"])

        assert run.status == "failed"
        assert "ValueError: on purpose" in pipelines.attempts(run.id)[0].error

    def test_an_attempt_past_its_time_has_failed(
        self, pipelines: Pipelines, flows: dict[str, AnyPipeline]
    ) -> None:
        """A time-out ends the attempt as `timed_out`."""
        run = self.run(pipelines, flows["sleeping"])

        assert [attempt.status for attempt in pipelines.attempts(run.id)] == ["timed_out"]
        assert run.status == "failed"

    def test_a_worker_that_dies_is_told_and_the_step_is_tried_again(
        self, pipelines: Pipelines, flows: dict[str, AnyPipeline], tmp_path: Path
    ) -> None:
        """Death of a worker is an outcome, never silence."""
        if not self.survives_death:
            pytest.skip("this executor runs steps in the engine's own process")
        run = self.run(pipelines, flows["dying"], marker=str(tmp_path / "marker"))

        assert [attempt.status for attempt in pipelines.attempts(run.id)] == ["lost", "done"]
        assert pipelines.result(run) == 5  # noqa: PLR2004 - what the step returns
