"""A backfill makes one run for each date, a few at a time, and none again for a date that finished."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from everloop.pipelines.backfilling import BackfillNotFoundError
from everloop.pipelines.backfills import nominals
from everloop.pipelines.inputs import InvalidPipelineInputError
from everloop.pipelines.moments import InvalidScheduleError

if TYPE_CHECKING:
    from tests.unit.pipelines.conftest import Project

    from everloop.pipelines import Pipelines

FLOW = """
    from everloop.pipelines import pipeline, step
    BAD = ("2013-01-07", "2013-01-20")
    @step
    def score(day: str) -> str:
        if day in BAD:
            raise ValueError(f"no rows on {day}")
        return day
    @pipeline
    def daily(day: str = "") -> str:
        return score(day)
"""
MONTH = [f"2013-01-{day:02}" for day in range(1, 31)]


@pytest.fixture
def registered(pipelines: Pipelines, project: Project) -> Pipelines:
    project.write(flow=FLOW)
    pipelines.register(project.flow().daily)
    return pipelines


def mend(pipelines: Pipelines, project: Project) -> None:
    project.write(flow=FLOW.replace('("2013-01-07", "2013-01-20")', "()"))
    pipelines.register(project.flow().daily)


def statuses(pipelines: Pipelines, backfill: str) -> dict[str, str]:
    return {date.nominal: date.status for date in pipelines.backfill_dates(backfill)}


def test_thirty_days_make_thirty_runs_and_a_second_call_makes_none(
    registered: Pipelines, project: Project
) -> None:
    mend(registered, project)
    found = registered.backfill("daily", "2013-01-01", "2013-01-30", param="day", workers=2)
    registered.work()

    again = registered.backfill("daily", "2013-01-01", "2013-01-30", param="day", workers=2)
    registered.work()

    assert (again.id, again.status, again.counts) == (found.id, "finished", {"finished": 30})
    dates = registered.backfill_dates(found.id)
    assert [date.nominal for date in dates] == MONTH
    assert [registered.result(date.run) for date in dates] == MONTH
    assert len(registered.runs(limit=1000)) == 30


def test_at_most_so_many_runs_wait_or_run_at_once(registered: Pipelines) -> None:
    found = registered.backfill("daily", "2013-01-01", "2013-01-06", param="day", workers=3)

    first, second = registered.tick(), registered.tick()
    registered.work(once=True)

    assert (len(first), second) == (3, [])
    assert registered.get_backfill(found.id).counts == {"finished": 1, "queued": 3, "open": 2}


def test_failed_dates_run_again_with_the_present_code_and_finished_ones_do_not(
    registered: Pipelines, project: Project
) -> None:
    found = registered.backfill("daily", "2013-01-01", "2013-01-30", param="day")
    registered.work()
    failed = registered.get_backfill(found.id)
    before = {date.nominal: date.run for date in registered.backfill_dates(found.id)}

    mend(registered, project)
    again = registered.backfill("daily", "2013-01-01", "2013-01-30", param="day")
    registered.work()

    assert (failed.status, failed.counts) == ("failed", {"finished": 28, "failed": 2})
    assert again.counts == {"finished": 28, "open": 2}
    assert registered.get_backfill(found.id).status == "finished"
    after = {date.nominal: date.run for date in registered.backfill_dates(found.id)}
    assert {day for day in MONTH if before[day] != after[day]} == {"2013-01-07", "2013-01-20"}
    assert len(registered.runs(limit=1000)) == 32


def test_a_longer_span_adds_only_its_own_dates(registered: Pipelines) -> None:
    registered.backfill("daily", "2013-01-01", "2013-01-03", param="day")
    registered.work()

    longer = registered.backfill("daily", "2012-12-31", "2013-01-05", param="day")
    registered.work()

    assert longer.counts == {"finished": 3, "open": 3}
    assert len(registered.runs(limit=1000)) == 6


def test_reversed_starts_with_the_latest_date(registered: Pipelines) -> None:
    found = registered.backfill("daily", "2013-01-01", "2013-01-03", param="day", workers=1, is_reversed=True)

    registered.work(once=True)

    assert [date for date, status in statuses(registered, found.id).items() if status == "finished"] == [
        "2013-01-03"
    ]


def test_a_paused_backfill_starts_nothing_until_it_is_resumed(registered: Pipelines) -> None:
    found = registered.backfill("daily", "2013-01-01", "2013-01-04", param="day", workers=1)
    registered.work(once=True)
    registered.pause_backfill(found.id)
    registered.work()
    paused = registered.get_backfill(found.id)

    registered.resume_backfill(found.id)
    registered.work()

    assert paused.status == "paused"
    assert paused.counts == {"finished": 2, "open": 2}  # the second was queued before the pause
    assert registered.get_backfill(found.id).status == "finished"


def test_a_cancelled_backfill_cancels_what_waits_and_can_be_resumed(registered: Pipelines) -> None:
    found = registered.backfill("daily", "2013-01-01", "2013-01-04", param="day", workers=2)
    registered.tick()

    cancelled = registered.cancel_backfill(found.id)
    assert registered.work() == 0
    registered.resume_backfill(found.id)
    registered.work()

    assert (cancelled.status, cancelled.counts) == ("cancelled", {"cancelled": 2, "open": 2})
    assert registered.get_backfill(found.id).counts == {"finished": 4}


def test_its_end_is_an_event_that_counts_the_dates(registered: Pipelines) -> None:
    found = registered.backfill("daily", "2013-01-06", "2013-01-07", param="day")
    registered.work()

    events = registered.kernel.events.read(subject=f"backfill:{found.id}")

    assert [event.kind for event in events] == ["pipeline.backfill_started", "pipeline.backfill_failed"]
    assert events[-1].payload["counts"] == {"finished": 1, "failed": 1}


@pytest.mark.parametrize(
    ("start", "end", "cadence", "zone", "expected"),
    [
        ("2013-01-01", "2013-01-15", "1w", "UTC", ["2013-01-01", "2013-01-08", "2013-01-15"]),
        # a whole day of 23 hours: the clocks go forward
        ("2026-03-29", "2026-03-30", "1d", "Europe/Paris", ["2026-03-29", "2026-03-30"]),
        (
            "2026-03-29", "2026-03-29", "8h", "Europe/Paris",
            ["2026-03-29T00:00:00+01:00", "2026-03-29T09:00:00+02:00", "2026-03-29T17:00:00+02:00"],
        ),
        (
            "2026-10-24", "2026-10-25", "0 9 * * *", "Europe/Paris",
            ["2026-10-24T09:00:00+02:00", "2026-10-25T09:00:00+01:00"],
        ),
        ("2013-01-01T06:00", "2013-01-01T07:00", "1h", "UTC",
         ["2013-01-01T06:00:00+00:00", "2013-01-01T07:00:00+00:00"]),
    ],
)  # fmt: skip
def test_dates_of_a_span(start: str, end: str, cadence: str, zone: str, expected: list[str]) -> None:
    assert nominals(start, end, cadence, zone) == expected


@pytest.mark.parametrize(
    ("start", "end", "cadence", "message"),
    [
        ("2013-01-02", "2013-01-01", "1d", "is empty"),
        ("2013-13-01", "2013-01-01", "1d", "is no date"),
        ("2013-01-01", "2013-01-02", "0 9 30 2 *", "never fires"),
        ("2013-01-01", "2013-01-02", "0 9 1 6 *", "no date from"),
        ("1900-01-01", "2013-01-02", "1m", "more than 100,000"),
        ("0001-01-01", "9999-12-31", "1d", "more than 100,000"),
    ],
)
def test_spans_without_dates_or_with_too_many_are_refused(
    start: str, end: str, cadence: str, message: str
) -> None:
    with pytest.raises(InvalidScheduleError, match=message):
        nominals(start, end, cadence, "UTC")


def test_what_does_not_exist_is_refused(registered: Pipelines) -> None:
    with pytest.raises(InvalidPipelineInputError, match="no input date"):
        registered.backfill("daily", "2013-01-01", "2013-01-02", param="date")
    with pytest.raises(InvalidPipelineInputError, match="0 workers"):
        registered.backfill("daily", "2013-01-01", "2013-01-02", param="day", workers=0)
    with pytest.raises(BackfillNotFoundError):
        registered.get_backfill("none")
