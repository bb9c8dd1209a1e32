"""One pass of a scheduler: which ticks and events owe a run, and the row that decides who starts it.

Any number of schedulers may pass at once, with clocks that differ: the row (schedule, nominal time) has a unique key, and
who inserts it inserts the run in the same transaction. Tests: tests/unit/pipelines/test_schedules.py, tests/chaos/test_schedulers.py.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from everloop.core.ids import new_id
from everloop.pipelines import queries, schedule_queries
from everloop.pipelines.moments import due
from everloop.pipelines.schedule_records import UpcomingTick
from everloop.pipelines.tables import schedule, schedule_tick

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from everloop.kernel.events.log import Event
    from everloop.kernel.operations import Kernel
    from everloop.pipelines.schedule_records import Schedule

VERSIONED = "dataset.versioned"
_EVENTS = 1000


def tick(kernel: Kernel, now: datetime) -> list[str]:
    """Start every run that is owed at `now`; return the ids of the runs this pass started."""
    with kernel.catalog.read() as connection:
        plans = [plan for plan in schedule_queries.read_schedules(connection) if not plan.is_paused]
    started: list[str] = []
    for plan in plans:
        started += _tick_time(kernel, plan, now) if plan.rhythm else _tick_trigger(kernel, plan, now)
    return started


def upcoming(plans: Iterable[Schedule], *, after: datetime, until: datetime) -> Iterator[UpcomingTick]:
    """Yield the ticks of schedules after `after` up to `until` in order of time."""
    return heapq.merge(
        *(_upcoming(plan, after, until) for plan in plans if not plan.is_paused),
        key=lambda tick: (tick.at, tick.schedule),
    )


def _upcoming(plan: Schedule, after: datetime, until: datetime) -> Iterator[UpcomingTick]:
    if plan.rhythm is None:
        return
    for moment in plan.rhythm.between(max(after, plan.seen_until), until):
        yield UpcomingTick(
            at=moment.at,
            local=_local(moment.at, plan),
            schedule=plan.id,
            pipeline=plan.pipeline,
            timezone=plan.timezone,
            note=moment.note,
        )


def _local(moment: datetime, plan: Schedule) -> str:
    return moment.astimezone(ZoneInfo(plan.timezone)).isoformat()


def _tick_time(kernel: Kernel, plan: Schedule, now: datetime) -> list[str]:
    if plan.rhythm is None:
        return []
    started: list[str] = []
    for moment in due(plan.rhythm, seen_until=plan.seen_until, now=now, catch_up=plan.catch_up):
        inputs = (
            {**plan.inputs, plan.nominal_input: _local(moment, plan)} if plan.nominal_input else plan.inputs
        )
        with kernel.catalog.transaction() as connection:
            started += _fire(connection, kernel, plan, moment.isoformat(), inputs, now)
            later = sa.and_(schedule.c.id == plan.id, schedule.c.seen_until < moment)
            connection.execute(schedule.update().where(later).values(seen_until=moment))
    return started


def _tick_trigger(kernel: Kernel, plan: Schedule, now: datetime) -> list[str]:
    events = kernel.events.read(after=plan.position, limit=_EVENTS, kinds=[VERSIONED])
    if not events:
        return []
    fresh = [event for event in events if event.subject.startswith(f"dataset:{plan.dataset}@")]
    started: list[str] = []
    with kernel.catalog.transaction() as connection:
        for event in _owed(plan, fresh):
            inputs = {**plan.inputs, plan.dataset_input: event.subject.removeprefix("dataset:")}
            started += _fire(connection, kernel, plan, event.id, inputs, now)
        behind = sa.and_(schedule.c.id == plan.id, schedule.c.position < events[-1].position)
        connection.execute(schedule.update().where(behind).values(position=events[-1].position))
    return started


def _owed(plan: Schedule, events: Sequence[Event]) -> Sequence[Event]:
    return events if plan.catch_up == "all" else events[-1:]


def _fire(
    connection: sa.Connection,
    kernel: Kernel,
    plan: Schedule,
    nominal: str,
    inputs: dict[str, object],
    now: datetime,
) -> list[str]:
    """Insert the tick and its run; nothing when another scheduler was first."""
    run_id = new_id()
    row = {"schedule_id": plan.id, "nominal": nominal, "run_id": run_id, "created_at": now}
    statement = queries.upsert(connection, schedule_tick).values(row).on_conflict_do_nothing()
    if connection.execute(statement.returning(schedule_tick.c.run_id)).first() is None:
        return []
    found = queries.read_pipeline(connection, plan.pipeline)
    if found is None:
        return []
    version, origin = found
    queries.insert_run(
        connection,
        run_id=run_id,
        name=plan.pipeline,
        now=now,
        options=plan.options,
        requested=inputs,
        bundle=version.bundle,
        entry=version.entry,
        origin=origin,
    )
    payload = {"schedule": plan.id, "nominal": nominal, "pipeline": plan.pipeline}
    kernel.events.append(connection, kind="pipeline.run_queued", subject=f"run:{run_id}", payload=payload)
    return [run_id]
