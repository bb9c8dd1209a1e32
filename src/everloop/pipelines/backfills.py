"""The dates of a backfill, and the pass that starts their runs, at most so many at a time.

Any worker and any scheduler may pass: a pass first raises a counter in the backfill's row, which makes passes wait for
each other, and then counts and starts runs in the same transaction. Tests: tests/unit/pipelines/test_backfills.py,
tests/chaos/test_schedulers.py.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from everloop.core.ids import new_id
from everloop.pipelines import queries, schedule_queries
from everloop.pipelines.moments import InvalidScheduleError, Rhythm, check_cron, check_every, check_timezone

if TYPE_CHECKING:
    import sqlalchemy as sa

    from everloop.kernel.operations import Kernel
    from everloop.pipelines.schedule_records import Backfill, BackfillStatus

_DAY = timedelta(days=1)
_MOST_DATES = 100_000
_DATE_LENGTH = len("2013-01-01")


def nominals(start: str, end: str, cadence: str, timezone: str) -> list[str]:
    """Return the nominal times of a span as texts, both ends included.

    Whole days between dates are dates, `2013-01-01`; everything else is a time with its offset, `2013-01-01T06:00:00+01:00`.

    Args:
        start: a date or a time, ISO 8601; without an offset it is read in the zone.
        end: the same; a date stands for its whole day.
        cadence: an interval, `1d`, or a cron expression.
        timezone: IANA name.

    Raises:
        InvalidScheduleError: the span is empty or too long, or a part of it cannot be read.
    """
    check_timezone(timezone)
    is_cron = " " in cadence.strip()
    if is_cron:
        check_cron(cadence, timezone)
        every = timedelta()
    else:
        every = check_every(cadence)
    zone = ZoneInfo(timezone)
    first, last = _read(start, zone), _read(end, zone)
    are_dates = len(start) == len(end) == _DATE_LENGTH
    if first > last:
        raise InvalidScheduleError(f"the span from {start} to {end} is empty. Give the earlier one first.")
    if are_dates and not is_cron and every % _DAY == timedelta():
        days = (last.date() - first.date()) // every + 1
        found = [(first.date() + number * every).isoformat() for number in range(min(days, _MOST_DATES + 1))]
    else:
        until = _end_of_day(end, zone) if len(end) == _DATE_LENGTH else last
        rhythm = Rhythm(cron=cadence) if is_cron else Rhythm(every=cadence, anchor=first.astimezone(UTC))
        found = _times(rhythm, first, until, timezone)
    if not found:
        raise InvalidScheduleError(f"no date from {start} to {end} falls on {cadence}. Give a longer span.")
    if len(found) > _MOST_DATES:
        raise InvalidScheduleError(
            f"{start} to {end} has more than {_MOST_DATES:,} dates. Give shorter spans."
        )
    return found


def _times(rhythm: Rhythm, first: datetime, until: datetime, timezone: str) -> list[str]:
    import msgspec

    rhythm = msgspec.structs.replace(rhythm, timezone=timezone)
    found: list[str] = []
    for moment in rhythm.between(first.astimezone(UTC) - timedelta(microseconds=1), until.astimezone(UTC)):
        found.append(moment.at.astimezone(ZoneInfo(timezone)).isoformat())
        if len(found) > _MOST_DATES:
            break
    return found


def _read(text: str, zone: ZoneInfo) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidScheduleError(f"{text!r} is no date. Write 2013-01-31 or 2013-01-31T06:00.") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def _end_of_day(text: str, zone: ZoneInfo) -> datetime:
    following = date.fromisoformat(text) + _DAY
    return datetime.combine(following, time(), tzinfo=zone) - timedelta(microseconds=1)


def advance(kernel: Kernel, now: datetime) -> list[str]:
    """Start the runs that running backfills have room for, and end those that are done; return the runs' ids."""
    with kernel.catalog.read() as connection:
        plans = schedule_queries.read_backfills(connection, status="running")
    return [run for plan in plans if _has_work(plan) for run in _advance(kernel, plan.id, now)]


def _has_work(plan: Backfill) -> bool:
    alive = schedule_queries.live(plan.counts)
    if plan.counts.get("open"):
        return alive < plan.workers
    return alive == 0 and not plan.counts.get("waiting")


def _advance(kernel: Kernel, backfill_id: str, now: datetime) -> list[str]:
    with kernel.catalog.transaction() as connection:
        if not schedule_queries.lock_backfill(connection, backfill_id):
            return []
        plan = schedule_queries.read_backfills(connection, backfill_id=backfill_id)[0]
        if not _has_work(plan):
            return []
        if not plan.counts.get("open"):
            _end(connection, kernel, plan, now)
            return []
        free = plan.workers - schedule_queries.live(plan.counts)
        return [
            _start(connection, kernel, plan, nominal, now)
            for nominal in schedule_queries.open_dates(connection, plan, free)
        ]


def _start(connection: sa.Connection, kernel: Kernel, plan: Backfill, nominal: str, now: datetime) -> str:
    version, origin = queries.require_pipeline(connection, plan.pipeline)
    run_id = new_id()
    queries.insert_run(
        connection,
        run_id=run_id,
        name=plan.pipeline,
        now=now,
        options=plan.options,
        requested={**plan.inputs, plan.param: nominal},
        bundle=version.bundle,
        entry=version.entry,
        origin=origin,
    )
    schedule_queries.start_date(connection, plan.id, nominal, run_id)
    payload = {"backfill": plan.id, "nominal": nominal, "pipeline": plan.pipeline}
    kernel.events.append(connection, kind="pipeline.run_queued", subject=f"run:{run_id}", payload=payload)
    return run_id


def _end(connection: sa.Connection, kernel: Kernel, plan: Backfill, now: datetime) -> None:
    status: BackfillStatus = "finished" if set(plan.counts) == {"finished"} else "failed"
    schedule_queries.set_status(connection, plan.id, status, now)
    payload = {"pipeline": plan.pipeline, "counts": plan.counts}
    kernel.events.append(
        connection, kind=f"pipeline.backfill_{status}", subject=f"backfill:{plan.id}", payload=payload
    )
