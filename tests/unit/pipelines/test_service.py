"""Pipelines as a user runs them: results, cache, failures, resume, schedules."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from everloop.data.service import Data
from everloop.pipelines import File, Pipelines, pipeline, step
from everloop.pipelines.graph import TraceError, draw, trace
from everloop.pipelines.inputs import InvalidPipelineInputError, PathInputWarning
from everloop.pipelines.service import RunFailedError
from everloop.tracking import log

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.pipelines.conftest import Project

    from everloop.pipelines.records import PipelineRun

FLOW = """
    from everloop.data.table import Table
    from everloop.pipelines import File, pipeline, step
    from everloop.tracking import log

    @step
    def load(x: int) -> int:
        print("loading", x)
        log(x=x)
        return x

    @step
    def split(x: int) -> tuple[int, int]:
        return x // 10, x % 10

    @step
    def add(a: int, b: int = 1) -> int:
        return a + b

    @pipeline
    def flow(x: int, y: int = 3) -> int:
        tens, ones = split(load(x))
        return add(add(tens, ones), y)

    @step
    def read(file: File) -> str:
        return file.read_text()

    @pipeline
    def files(file: File) -> str:
        return read(file)

    @step
    def count(rows: Table) -> int:
        return rows.num_rows

    @step
    def head(rows: Table) -> Table:
        return rows.sql("select * from this where a < 3")

    @pipeline
    def tables(rows: Table) -> int:
        return count(head(rows))
"""


def statuses(run: PipelineRun) -> dict[str, str]:
    return {item.node: item.status for item in run.steps}


def test_a_pipeline_gives_what_its_plain_call_gives(pipelines: Pipelines, project: Project) -> None:
    project.write(flow=FLOW)
    flow = project.flow().flow

    run = pipelines.run(flow, {"x": "42"})

    assert run.status == "finished"
    assert pipelines.result(run) == flow(42) == 9
    assert statuses(run) == {"load": "done", "split": "done", "add": "done", "add#2": "done"}
    assert "loading 42" in pipelines.attempts(run.id, node="load")[0].log


def test_a_run_is_tracked_under_its_own_id(pipelines: Pipelines, project: Project) -> None:
    project.write(flow=FLOW)

    run = pipelines.run(project.flow().flow, {"x": 42})
    tracked = pipelines.tracking.get_run(run.id)

    assert (tracked.status, tracked.params) == ("finished", {"x": 42, "y": 3})
    assert [(metric.name, metric.value) for metric in tracked.metrics] == [("x", 42.0)]
    assert tracked.capture.environment is not None


def test_a_second_run_takes_every_step_from_the_cache(pipelines: Pipelines, project: Project) -> None:
    project.write(flow=FLOW)
    flow = project.flow().flow
    pipelines.run(flow, {"x": 42}, cache=True)

    again = pipelines.run(flow, {"x": 42}, cache=True)

    assert set(statuses(again).values()) == {"cached"}
    assert pipelines.result(again) == 9


def test_a_changed_step_runs_again_and_equal_bytes_cut_the_rest_off(
    pipelines: Pipelines, project: Project
) -> None:
    project.write(flow=FLOW)
    pipelines.run(project.flow().flow, {"x": 42}, cache=True)
    project.write(flow=FLOW.replace("return x // 10, x % 10", "return int(x / 10), x % 10"))

    run = pipelines.run(project.flow().flow, {"x": 42}, cache=True)
    told = {item.node: item for item in pipelines.explain(run.id)}

    assert statuses(run) == {"load": "cached", "split": "done", "add": "cached", "add#2": "cached"}
    assert told["split"].changed == ["function flow.split"]
    assert "because function flow.split changed" in told["split"].sentence


def test_refresh_computes_a_step_again_and_no_cache_all_of_them(
    pipelines: Pipelines, project: Project
) -> None:
    project.write(flow=FLOW)
    flow = project.flow().flow
    pipelines.run(flow, {"x": 42}, cache=True)

    assert statuses(pipelines.run(flow, {"x": 42}, cache=True, refresh=("split",)))["split"] == "done"
    assert set(statuses(pipelines.run(flow, {"x": 42}, cache=False)).values()) == {"done"}


def test_the_cache_is_off_under_pytest_unless_asked_for(pipelines: Pipelines, project: Project) -> None:
    project.write(flow=FLOW)
    flow = project.flow().flow
    pipelines.run(flow, {"x": 42}, cache=True)

    assert set(statuses(pipelines.run(flow, {"x": 42})).values()) == {"done"}


def test_a_file_counts_by_its_content(pipelines: Pipelines, project: Project, tmp_path: Path) -> None:
    project.write(flow=FLOW)
    files = project.flow().files
    file = tmp_path / "rows.txt"
    found = []
    for text in ("one", "one", "two"):
        file.write_text(text)
        found.append(pipelines.run(files, {"file": str(file)}, cache=True))

    assert [statuses(run)["read"] for run in found] == ["done", "cached", "done"]
    assert pipelines.result(found[-1]) == "two"


def test_a_deleted_artifact_is_a_miss(pipelines: Pipelines) -> None:
    @step
    def large() -> bytes:
        return b"x" * 10_000

    @pipeline
    def flow() -> bytes:
        return large()

    first = pipelines.run(flow, cache=True)
    pipelines.kernel.objects.delete(first.outputs[0].digest)

    again = pipelines.run(flow, cache=True)

    assert statuses(again) == {"large": "done"}
    assert len(pipelines.result(again)) == 10_000


def test_tables_travel_by_reference_and_a_dataset_is_an_input_of_the_run(
    pipelines: Pipelines, project: Project
) -> None:
    project.write(flow=FLOW)
    data = Data(pipelines.kernel)
    data.add("numbers", pa.table({"a": [1, 2, 3, 4]}))

    run = pipelines.run(project.flow().tables, {"rows": "numbers@v1"}, cache=True)

    assert pipelines.result(run) == 2
    assert [item.ref for item in pipelines.tracking.get_run(run.id).inputs] == ["numbers@v1"]
    assert pipelines.kernel.events.edges(f"run:{run.id}")[0].source == "dataset:numbers@v1"


def test_a_failed_step_names_its_reason_and_what_needed_it_does_not_run(pipelines: Pipelines) -> None:
    @step
    def fail() -> int:
        raise ZeroDivisionError("no")

    @step
    def after(x: int) -> int:
        return x

    @step
    def beside() -> int:
        return 1

    @pipeline
    def flow() -> tuple[int, int]:
        return after(fail()), beside()

    run = pipelines.run(flow)

    assert statuses(run) == {"fail": "failed", "after": "upstream_failed", "beside": "done"}
    assert "ZeroDivisionError: no" in pipelines.attempts(run.id, node="fail")[0].error
    assert pipelines.tracking.get_run(run.id).status == "failed"
    with pytest.raises(RunFailedError, match="ZeroDivisionError"):
        pipelines.result(run)


def test_a_step_is_tried_again_as_often_as_it_says(pipelines: Pipelines) -> None:
    calls: list[int] = []

    def flaky() -> int:
        calls.append(1)
        if len(calls) < 3:
            raise OSError("away")
        return 7

    @step(retries=2, backoff=0.01, cache=False)
    def fetch() -> int:
        return flaky()

    @pipeline
    def flow() -> int:
        return fetch()

    run = pipelines.run(flow)

    assert [item.status for item in pipelines.attempts(run.id)] == ["failed", "failed", "done"]
    assert pipelines.result(run) == 7


def test_resume_goes_on_at_the_steps_that_are_missing(
    pipelines: Pipelines, project: Project, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    project.write(
        flow=f"""
        from pathlib import Path
        from everloop.pipelines import pipeline, step
        @step
        def first() -> int:
            return 1
        @step(cache=False)
        def second(x: int) -> int:
            if not Path({str(gate)!r}).exists():
                raise OSError("shut")
            return x + 1
        @pipeline
        def flow() -> int:
            return second(first())
        """
    )
    run = pipelines.run(project.flow().flow)
    gate.touch()

    again = pipelines.resume(run.id)

    assert (again.status, pipelines.result(again), again.note) == ("finished", 2, "")
    assert len(pipelines.attempts(run.id, node="first")) == 1


def test_resume_after_an_edit_uses_the_pinned_code_and_says_so(
    pipelines: Pipelines, project: Project, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    text = f"""
        from pathlib import Path
        from everloop.pipelines import pipeline, step
        @step
        def only() -> int:
            if not Path({str(gate)!r}).exists():
                raise OSError("shut")
            return 1
        @pipeline
        def flow() -> int:
            return only()
    """
    project.write(flow=text)
    run = pipelines.run(project.flow().flow)
    gate.touch()
    project.write(flow=text.replace("return 1", "return 2"))

    again = pipelines.resume(run.id)

    assert pipelines.result(again) == 1
    assert "edited since: flow.py" in again.note


def test_a_registered_pipeline_runs_for_a_worker_that_never_saw_its_file(
    pipelines: Pipelines, project: Project
) -> None:
    project.write(flow=FLOW)
    pipelines.register(project.flow().flow)
    (project.folder / "flow.py").unlink()
    queued = pipelines.submit("flow", {"x": 42})

    count = pipelines.work()

    assert count == 1
    assert pipelines.result(pipelines.get(queued.id)) == 9
    assert pipelines.result(pipelines.run("flow", {"x": 20})) == 5


def test_a_cancelled_run_is_not_worked_on(pipelines: Pipelines, project: Project) -> None:
    project.write(flow=FLOW)
    queued = pipelines.submit(project.flow().flow, {"x": 1})

    pipelines.cancel(queued.id)

    assert pipelines.work() == 0
    assert pipelines.get(queued.id).status == "cancelled"


def test_inputs_are_checked_before_anything_starts(pipelines: Pipelines, project: Project) -> None:
    project.write(flow=FLOW)
    flow = project.flow().flow

    with pytest.raises(InvalidPipelineInputError, match="needs the input x"):
        pipelines.run(flow)
    with pytest.raises(InvalidPipelineInputError, match="no input z"):
        pipelines.run(flow, {"x": 1, "z": 2})
    with pytest.raises(InvalidPipelineInputError, match="input x"):
        pipelines.run(flow, {"x": "many"})
    assert pipelines.runs() == []


def test_a_bare_path_is_warned_about(pipelines: Pipelines, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("a")

    @step
    def name(path: str) -> str:
        return path

    @pipeline
    def flow(path: str) -> str:
        return name(path)

    with pytest.warns(PathInputWarning, match=r"everloop\.File"):
        pipelines.run(flow, {"path": str(file)})


def test_a_pipeline_that_branches_on_a_value_is_refused(pipelines: Pipelines) -> None:
    @step
    def one() -> int:
        return 1

    @pipeline
    def flow() -> int:
        return one() + 1 if one() else 0

    with pytest.raises(TraceError, match="decides by it"):
        pipelines.run(flow)


def test_a_step_outside_a_pipeline_just_runs() -> None:
    @step
    def double(x: int) -> int:
        log(x=x)
        return 2 * x

    assert double(4) == 8
    assert double.with_(retries=3, timeout="1m").options.timeout_s == 60.0


def test_a_graph_is_drawn_as_text(project: Project) -> None:
    project.write(flow=FLOW)

    text = draw(trace(project.flow().flow).graph)

    assert text.splitlines()[0] == "flow(x: value, y: value)"
    assert "  add(a=split[0], b=split[1])" in text


def test_a_file_value_is_a_path_that_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("text")

    assert File(tmp_path / "a").read_text() == "text"


def test_a_cron_schedule_starts_one_run_for_each_tick(pipelines: Pipelines, project: Project) -> None:
    project.write(flow=FLOW)
    pipelines.register(project.flow().flow)
    plan = pipelines.add_schedule("flow", cron="0 * * * *", inputs={"x": 42}, catch_up="all")
    start = plan.created_at.astimezone(UTC)
    later = datetime(start.year + 1, 1, 1, 3, 30, tzinfo=UTC)
    pipelines.tick(later)

    first = pipelines.ticks(plan.id, limit=5000)
    pipelines.tick(later)

    assert len(pipelines.ticks(plan.id, limit=5000)) == len(first) > 0
    assert pipelines.work(once=True) == 1


def test_a_new_version_starts_a_run_with_that_version(pipelines: Pipelines, project: Project) -> None:
    project.write(flow=FLOW)
    data = Data(pipelines.kernel)
    data.add("numbers", pa.table({"a": [1]}))
    pipelines.register(project.flow().tables)
    pipelines.add_schedule("tables", dataset="numbers", dataset_input="rows")

    before = pipelines.tick()
    data.add("numbers", pa.table({"a": [1, 2]}))
    started = pipelines.tick()
    pipelines.work()

    assert (before, len(started), pipelines.tick()) == ([], 1, [])
    assert pipelines.result(started[0]) == 2


def test_a_paused_schedule_starts_nothing(pipelines: Pipelines, project: Project) -> None:
    project.write(flow=FLOW)
    pipelines.register(project.flow().flow)
    plan = pipelines.add_schedule("flow", cron="* * * * *", inputs={"x": 1})

    pipelines.pause_schedule(plan.id)

    assert pipelines.tick(datetime(2099, 1, 1, tzinfo=UTC)) == []
