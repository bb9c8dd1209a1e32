"""What starts runs besides time, once for each cause."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from everloop.alerting import Alerting
from everloop.alerting.records import AlertRule, Observation
from everloop.data.service import Data
from everloop.pipelines import Pipelines
from everloop.pipelines.inputs import InvalidPipelineInputError
from everloop.pipelines.rules import choose_causes, has_values
from everloop.pipelines.trigger_records import Cause, Trigger
from everloop.pipelines.triggering import InvalidTriggerError, TriggerExistsError, TriggerNotFoundError
from everloop.pipelines.triggers import NotWatchedError
from everloop.tracking import Tracking

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import MakeKernel
    from tests.unit.pipelines.conftest import Project

    from everloop.core.clock import ManualClock

FLOW = """
    from everloop.pipelines import pipeline, step
    @step
    def echo(x: str) -> str:
        return x
    @pipeline
    def flow(x: str = "", y: int = 0) -> str:
        return echo(x)
"""


@pytest.fixture
def watched(tmp_path: Path) -> Path:
    folder = tmp_path / "incoming"
    folder.mkdir()
    return folder


@pytest.fixture
def pipelines(
    make_kernel: MakeKernel, catalog_url: str, watched: Path, project: Project, clock: ManualClock
) -> Pipelines:
    kernel = make_kernel(clock=clock, catalog_url=catalog_url, watch=[str(watched), "s3://bucket/in"])
    found = Pipelines(kernel, data=Data(kernel), tracking=Tracking(kernel))
    project.write(flow=FLOW)
    found.register(project.flow().flow)
    return found


def given(pipelines: Pipelines, trigger: str) -> list[tuple[str, dict[str, Any]]]:
    return [(cause.status, cause.given) for cause in reversed(pipelines.causes(trigger))]


def test_a_branch_that_moves_starts_one_run_with_its_version(pipelines: Pipelines) -> None:
    data = Data(pipelines.kernel)
    data.add("flights", pa.table({"a": [1]}))
    pipelines.add_trigger("new-data", "flow", on="dataset", what="flights@main", cause_input="x")
    assert pipelines.tick() == []

    data.add("flights", pa.table({"a": [1, 2]}))
    data.add("other", pa.table({"a": [1]}))
    data.branch("flights", "try")
    data.add("flights", pa.table({"a": [1, 2, 3]}), branch="try")
    started = [*pipelines.tick(), *pipelines.tick()]

    assert len(started) == 1
    assert given(pipelines, "new-data") == [("started", {"x": "flights@v2"})]
    assert pipelines.runs()[0].id == started[0]


def test_an_event_starts_a_run_where_its_subject_and_payload_fit(pipelines: Pipelines) -> None:
    pipelines.add_trigger(
        "failed",
        "flow",
        on="event",
        what="run.failed",
        subject="run:bad*",
        where={"status": "failed"},
        cause_input="x",
    )
    tracking = Tracking(pipelines.kernel)
    for run, status in (("bad1", "failed"), ("good", "failed"), ("bad2", "finished")):
        tracking.create_run(id=run)
        tracking.finish_run(run, status=status)  # type: ignore[arg-type] # one of the states
    assert len(pipelines.tick()) == 1
    assert given(pipelines, "failed") == [("started", {"x": "run:bad1"})]


def test_an_alert_that_fires_starts_a_run(pipelines: Pipelines) -> None:
    pipelines.add_trigger("drifted", "flow", on="alert", what="drift*", cause_input="x")
    for name in ("drift.high", "other"):
        rule = AlertRule(name=name, needed=1, of=1)
        seen = Observation(
            rule=rule,
            subject="deployment:delays",
            state="bad",
            at=pipelines.kernel.clock.now(),
            message="it drifts",
        )
        assert [verdict.action for verdict in Alerting(pipelines.kernel).observe([seen])] == ["fire"]
    assert len(pipelines.tick()) == 1
    assert given(pipelines, "drifted") == [("started", {"x": "deployment:delays"})]


def test_a_file_starts_a_run_once_its_size_stays_and_never_again(
    pipelines: Pipelines, watched: Path, clock: ManualClock
) -> None:
    (watched / "old.csv").write_text("x")
    pipelines.add_trigger("files", "flow", on="file", what=f"{watched}/*.csv", cause_input="x", stable_s=10)
    new = watched / "new.csv"
    new.write_text("a")
    (watched / "other.txt").write_text("a")
    assert pipelines.tick() == []
    clock.advance(8)
    new.write_text("ab")
    assert pipelines.tick() == []
    clock.advance(8)
    assert pipelines.tick() == []
    clock.advance(3)
    assert len(pipelines.tick()) == 1
    clock.advance(60)
    new.write_text("abc")
    assert pipelines.tick() == []
    assert ("started", {"x": str(new)}) in given(pipelines, "files")


def test_files_outside_the_opened_places_are_refused_also_by_way_of_a_link(
    pipelines: Pipelines, watched: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("x")
    for pattern in (
        f"{tmp_path}/*.csv",
        f"{watched}/../*.csv",
        "/etc/*",
        "*",
        "s3://bucket/other/*",
        "s3://bucket/in/../x",
    ):
        with pytest.raises(NotWatchedError, match="EVERLOOP_WATCH"):
            pipelines.add_trigger("files", "flow", on="file", what=pattern)
    (watched / "link.csv").symlink_to(secret)
    pipelines.add_trigger("files", "flow", on="file", what=f"{watched}/*.csv", stable_s=0, existing=True)
    assert pipelines.tick() == []


def test_a_paused_trigger_makes_nothing_up(pipelines: Pipelines) -> None:
    data = Data(pipelines.kernel)
    pipelines.add_trigger("new-data", "flow", on="dataset", what="flights")
    assert pipelines.pause_trigger("new-data").is_paused
    data.add("flights", pa.table({"a": [1]}))
    assert pipelines.tick() == []
    assert not pipelines.start_trigger("new-data").is_paused
    assert pipelines.tick() == []
    data.add("flights", pa.table({"a": [2]}))
    assert len(pipelines.tick()) == 1
    kinds = [event.kind for event in pipelines.kernel.events.read(subject="trigger:new-data")]
    assert kinds == ["pipeline.trigger_added", "pipeline.trigger_paused", "pipeline.trigger_started"]


def test_causes_beyond_the_limit_wait_for_their_turn(pipelines: Pipelines) -> None:
    data = Data(pipelines.kernel)
    pipelines.add_trigger("new-data", "flow", on="dataset", what="flights", cause_input="x", max_active=1)
    for rows in range(1, 4):
        data.add("flights", pa.table({"a": list(range(rows))}))
    assert len(pipelines.tick()) == 1
    assert pipelines.tick() == []
    pipelines.work()
    assert len(pipelines.tick()) == 1
    assert [status for status, _ in given(pipelines, "new-data")].count("waiting") == 1


def test_a_burst_starts_one_run_for_the_newest_cause(pipelines: Pipelines, clock: ManualClock) -> None:
    data = Data(pipelines.kernel)
    pipelines.add_trigger("new-data", "flow", on="dataset", what="flights", cause_input="x", debounce_s=30)
    for rows in range(1, 4):
        data.add("flights", pa.table({"a": list(range(rows))}))
        assert pipelines.tick() == []
        clock.advance(10)
    clock.advance(30)
    assert len(pipelines.tick()) == 1
    assert given(pipelines, "new-data") == [
        ("skipped", {"x": "flights@v1"}),
        ("skipped", {"x": "flights@v2"}),
        ("started", {"x": "flights@v3"}),
    ]


def cause(at: int) -> Cause:
    return Cause(
        trigger="t", cause=f"c{at}", seen_at=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=at)
    )


@pytest.mark.parametrize(
    ("policy", "active", "start", "skip"),
    [("queue", 0, [0, 1], []), ("queue", 1, [0], []), ("queue", 2, [], []), ("latest", 0, [1, 2], [0]),
     ("latest", 1, [2], [0, 1]), ("latest", 2, [], [0, 1]), ("skip", 1, [0], [1, 2])],
)  # fmt: skip
def test_policies_for_causes_beyond_the_limit(
    policy: Any, active: int, start: list[int], skip: list[int]
) -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    plan = Trigger(name="t", pipeline="p", on="event", max_active=2, when_busy=policy, created_at=now)
    found = choose_causes(plan, [cause(at) for at in range(3)], active=active, now=now)
    assert [one.cause for one in found.start] == [f"c{at}" for at in start]
    assert [one.cause for one, _ in found.skip] == [f"c{at}" for at in skip]


def test_fields_inside_a_payload_are_compared() -> None:
    payload = {"a": {"b": 1}, "c": [1]}
    assert has_values(payload, {"a.b": 1, "c": [1]})
    assert not has_values(payload, {"a.b.c": 1})
    assert not has_values(payload, {"d": 1})


@pytest.mark.parametrize(
    ("fields", "error", "reason"),
    [
        ({"name": "Bad Name"}, InvalidTriggerError, "small letters"),
        ({"on": "dataset"}, InvalidTriggerError, "needs what"),
        ({"what": "pipeline.run_queued"}, InvalidTriggerError, "for ever"),
        ({"on": "webhook"}, InvalidTriggerError, "env:NAME"),
        ({"on": "webhook", "secret": "file:/etc/passwd"}, InvalidTriggerError, "env:NAME"),
        ({"accepts": ["x"]}, InvalidTriggerError, "for webhooks"),
        ({"when_busy": "skip"}, InvalidTriggerError, "max_active"),
        ({"debounce_s": -1.0}, InvalidTriggerError, "0 or more"),
        ({"cause_input": "z"}, InvalidPipelineInputError, "no input z"),
        ({"inputs": {"zz": 1}}, InvalidPipelineInputError, "Its inputs: x, y"),
    ],
)
def test_what_cannot_work_is_refused_with_the_way_out(
    pipelines: Pipelines, fields: dict[str, Any], error: type[Exception], reason: str
) -> None:
    stated = {"name": "t", "pipeline": "flow", "on": "event", "what": "x.y"} | fields
    if fields.get("on") in ("dataset", "webhook"):
        stated["what"] = ""
    with pytest.raises(error, match=reason):
        pipelines.add_trigger(stated.pop("name"), stated.pop("pipeline"), **stated)
    assert pipelines.triggers() == []


def test_a_trigger_is_deleted_with_its_causes_and_its_name_is_free(pipelines: Pipelines) -> None:
    data = Data(pipelines.kernel)
    pipelines.add_trigger("new-data", "flow", on="dataset", what="flights")
    with pytest.raises(TriggerExistsError):
        pipelines.add_trigger("new-data", "flow", on="dataset", what="flights")
    data.add("flights", pa.table({"a": [1]}))
    [run] = pipelines.tick()
    pipelines.delete_trigger("new-data")
    assert [one.id for one in pipelines.runs()] == [run]
    with pytest.raises(TriggerNotFoundError):
        pipelines.causes("new-data")
    pipelines.add_trigger("new-data", "flow", on="dataset", what="flights")
    assert pipelines.causes("new-data") == []
