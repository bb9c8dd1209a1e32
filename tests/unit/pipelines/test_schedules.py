"""Ticks by the wall clock of a zone, over both changes of daylight saving, and what missed ones owe."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from everloop.data.service import Data
from everloop.pipelines import Pipelines
from everloop.pipelines.inputs import InvalidPipelineInputError
from everloop.pipelines.moments import InvalidScheduleError, Rhythm, due
from everloop.tracking import Tracking

if TYPE_CHECKING:
    from tests.unit.pipelines.conftest import Project

    from everloop.kernel.operations import Kernel
    from everloop.pipelines.schedule_records import CatchUp

FLOW = """
    from everloop.pipelines import pipeline, step
    @step
    def echo(x: str) -> str:
        return x
    @pipeline
    def flow(x: str = "") -> str:
        return echo(x)
"""
EVERY_HOUR = "0 * * * *"


def at(*fields: int) -> datetime:
    year, month, day, *rest = fields
    hour, minute = [*rest, 0, 0][:2]
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


def ticks(
    cron: str, since: datetime, until: datetime, *, zone: str = "Europe/Zurich", catch_up: CatchUp = "all"
) -> list[datetime]:
    return due(Rhythm(cron=cron, timezone=zone), seen_until=since, now=until, catch_up=catch_up)


def test_a_morning_hour_keeps_its_wall_clock_over_the_change_of_time() -> None:
    # 31 March 2013: from here on 08:00 in Zurich is 06:00 UTC
    assert ticks("0 8 * * *", at(2013, 3, 30), at(2013, 4, 1, 12)) == [
        at(2013, 3, 30, 7),
        at(2013, 3, 31, 6),
        at(2013, 4, 1, 6),
    ]


def test_an_hour_that_does_not_exist_fires_once_right_after_the_gap() -> None:
    # 02:30 is skipped on 31 March; the tick falls on 03:00, which is 01:00 UTC
    assert ticks("30 2 * * *", at(2013, 3, 30, 12), at(2013, 4, 1, 12)) == [
        at(2013, 3, 31, 1),
        at(2013, 4, 1, 0, 30),
    ]


def test_an_hour_that_comes_twice_fires_once() -> None:
    # 02:30 is there at 00:30 and 01:30 UTC on 27 October
    assert ticks("30 2 * * *", at(2013, 10, 26, 12), at(2013, 10, 28, 12)) == [
        at(2013, 10, 27, 0, 30),
        at(2013, 10, 28, 1, 30),
    ]
    assert ticks("30 2 * * *", at(2013, 10, 27, 0, 31), at(2013, 10, 27, 12)) == []


@pytest.mark.parametrize("day", [(2013, 3, 31), (2013, 10, 27)])
def test_an_hourly_schedule_fires_each_real_hour_of_a_change_day(day: tuple[int, int, int]) -> None:
    start = at(*day) - timedelta(hours=3)

    found = ticks(EVERY_HOUR, start, start + timedelta(hours=9))

    assert found == [start + timedelta(hours=hour) for hour in range(1, 10)]


def test_a_tick_at_the_last_seen_moment_is_not_owed_again_and_one_at_now_is() -> None:
    assert ticks(EVERY_HOUR, at(2013, 1, 1, 1), at(2013, 1, 1, 2)) == [at(2013, 1, 1, 2)]


def test_policies_owe_the_latest_all_or_only_a_fresh_tick() -> None:
    since, until = at(2013, 1, 1, 0, 30), at(2013, 1, 1, 5, 30)

    assert ticks(EVERY_HOUR, since, until, catch_up="latest") == [at(2013, 1, 1, 5)]
    assert len(ticks(EVERY_HOUR, since, until, catch_up="all")) == 5
    assert ticks(EVERY_HOUR, since, until, catch_up="none") == []
    assert ticks(EVERY_HOUR, since, at(2013, 1, 1, 5, 1), catch_up="none") == [at(2013, 1, 1, 5)]


def test_a_month_of_missed_minutes_owes_the_last_thousand_and_is_found_quickly() -> None:
    began = time.monotonic()

    found = ticks("* * * * *", at(2013, 1, 1), at(2013, 2, 1))

    assert (len(found), found[-1], found[0]) == (
        1000,
        at(2013, 2, 1),
        at(2013, 2, 1) - timedelta(minutes=999),
    )
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(("catch_up", "runs"), [("all", 5), ("latest", 1), ("none", 0)])
def test_a_scheduler_that_was_away_starts_what_the_policy_owes_once(
    pipelines: Pipelines, project: Project, catch_up: CatchUp, runs: int
) -> None:
    project.write(flow=FLOW)
    pipelines.register(project.flow().flow)
    plan = pipelines.add_schedule("flow", cron=EVERY_HOUR, catch_up=catch_up)
    hour = plan.created_at.replace(minute=0, second=0, microsecond=0)
    later = hour + timedelta(hours=5, minutes=30)

    started = [pipelines.tick(later), pipelines.tick(later)]

    assert [len(ids) for ids in started] == [runs, 0]
    assert len(pipelines.runs()) == runs


@pytest.mark.parametrize("cause", [{"cron": "0 6 * * *", "timezone": "Europe/Paris"}, {"every": "12h"}])
def test_runs_get_the_nominal_time_and_upcoming_lists_it_before(
    pipelines: Pipelines, project: Project, cause: dict[str, str]
) -> None:
    project.write(flow=FLOW)
    pipelines.register(project.flow().flow)
    plan = pipelines.add_schedule(
        "flow",
        cron=cause.get("cron", ""),
        every=cause.get("every", ""),
        timezone=cause.get("timezone", "UTC"),
        nominal_input="x",
        catch_up="all",
    )

    foreseen = pipelines.upcoming(hours=60)
    started = pipelines.tick(plan.created_at + timedelta(hours=60))
    pipelines.work()

    assert len(foreseen) >= 2
    assert [tick.local for tick in foreseen] == [pipelines.result(run) for run in started]
    assert {tick.nominal for tick in pipelines.ticks(plan.id)} == {tick.at.isoformat() for tick in foreseen}
    assert pipelines.upcoming(hours=60, pipeline="other") == []


def test_upcoming_merges_schedules_by_time_and_leaves_paused_ones_out(
    pipelines: Pipelines, project: Project
) -> None:
    project.write(flow=FLOW)
    pipelines.register(project.flow().flow)
    pipelines.add_schedule("flow", cron=EVERY_HOUR)
    pipelines.add_schedule("flow", every="25m")
    paused = pipelines.add_schedule("flow", every="1m")
    pipelines.pause_schedule(paused.id)

    found = pipelines.upcoming(hours=3, limit=8)

    assert len(found) == 8
    assert [tick.at for tick in found] == sorted(tick.at for tick in found)
    assert len({tick.schedule for tick in found}) == 2


def test_nothing_fires_before_the_start_or_after_the_end(pipelines: Pipelines, project: Project) -> None:
    project.write(flow=FLOW)
    pipelines.register(project.flow().flow)
    now = pipelines.kernel.clock.now()
    start = now + timedelta(hours=5)
    pipelines.add_schedule(
        "flow", every="1h", start_at=start, end_at=start + timedelta(hours=2), catch_up="all"
    )

    assert pipelines.tick(now + timedelta(hours=4)) == []
    assert len(pipelines.tick(now + timedelta(days=3))) == 3
    with pytest.raises(InvalidScheduleError, match="before it begins"):
        pipelines.add_schedule("flow", every="1h", end_at=now - timedelta(hours=1))
    with pytest.raises(InvalidScheduleError, match="need a time zone"):
        pipelines.add_schedule("flow", every="1h", start_at=datetime(2030, 1, 1))  # noqa: DTZ001 - the point


def test_a_clock_that_is_behind_starts_nothing_again(pipelines: Pipelines, project: Project) -> None:
    project.write(flow=FLOW)
    pipelines.register(project.flow().flow)
    plan = pipelines.add_schedule("flow", cron=EVERY_HOUR, catch_up="all")
    later = plan.created_at + timedelta(hours=5)
    pipelines.tick(later)

    assert pipelines.tick(later - timedelta(hours=2)) == []


def test_a_started_schedule_does_not_make_up_its_pause(pipelines: Pipelines, project: Project) -> None:
    project.write(flow=FLOW)
    pipelines.register(project.flow().flow)
    data = Data(pipelines.kernel)
    data.add("numbers", pa.table({"a": [1]}))
    plan = pipelines.add_schedule("flow", dataset="numbers", dataset_input="x")

    pipelines.pause_schedule(plan.id)
    data.add("numbers", pa.table({"a": [2]}))
    pipelines.start_schedule(plan.id)
    missed = pipelines.tick()
    data.add("numbers", pa.table({"a": [3]}))
    started = pipelines.tick()

    assert (missed, len(started)) == ([], 1)


@pytest.mark.parametrize(
    ("catch_up", "refs"), [("latest", ["numbers@v3"]), ("all", ["numbers@v1", "numbers@v2", "numbers@v3"])]
)
def test_a_trigger_that_slept_starts_the_latest_version_or_each(
    pipelines: Pipelines, project: Project, catch_up: CatchUp, refs: list[str]
) -> None:
    project.write(flow=FLOW)
    pipelines.register(project.flow().flow)
    pipelines.add_schedule("flow", dataset="numbers", dataset_input="x", catch_up=catch_up)
    for value in range(3):
        Data(pipelines.kernel).add("numbers", pa.table({"a": [value]}))

    started = pipelines.tick()
    pipelines.work()

    assert [pipelines.result(run) for run in started] == refs


@pytest.mark.parametrize("fields", [{}, {"cron": EVERY_HOUR, "dataset": "numbers"}])
def test_a_schedule_has_one_cause(kernel: Kernel, project: Project, fields: dict[str, str]) -> None:
    pipelines = Pipelines(kernel, data=Data(kernel), tracking=Tracking(kernel))
    project.write(flow=FLOW)
    pipelines.register(project.flow().flow)

    with pytest.raises(InvalidScheduleError, match="one of a cron expression, an interval, or a dataset"):
        pipelines.add_schedule("flow", cron=fields.get("cron", ""), dataset=fields.get("dataset", ""))


def test_a_trigger_needs_a_parameter_that_takes_the_version(kernel: Kernel, project: Project) -> None:
    pipelines = Pipelines(kernel, data=Data(kernel), tracking=Tracking(kernel))
    project.write(flow=FLOW)
    pipelines.register(project.flow().flow)

    with pytest.raises(InvalidPipelineInputError, match="dataset_input"):
        pipelines.add_schedule("flow", dataset="numbers")
