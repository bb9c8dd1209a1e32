"""Queries of schedules and backfills, all in a connection that the caller opened.

Tests: tests/unit/pipelines/test_schedules.py, tests/unit/pipelines/test_backfills.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa

from everloop.pipelines.queries import upsert
from everloop.pipelines.schedule_records import Backfill, BackfillDate, Schedule, Tick
from everloop.pipelines.tables import backfill, backfill_date, pipeline_run, schedule, schedule_tick

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

_LIVE = ("queued", "running")
_AGAIN = ("failed", "cancelled")
# Rows of one INSERT: far below the limits of bound values of both databases.
_ROWS = 500
_FIELDS = [name for name in Backfill.__struct_fields__ if name != "counts"]


def read_schedules(connection: sa.Connection, *, schedule_id: str = "", lock: bool = False) -> list[Schedule]:
    """Return the schedules, or one of them; with `lock` those rows wait for no other scheduler on PostgreSQL."""
    query = sa.select(schedule).order_by(schedule.c.id)
    if schedule_id:
        query = query.where(schedule.c.id == schedule_id)
    if lock and connection.dialect.name == "postgresql":
        query = query.with_for_update()
    return [Schedule(**row._mapping) for row in connection.execute(query)]  # noqa: SLF001 - SQLAlchemy's public name


def read_ticks(connection: sa.Connection, schedule_id: str, limit: int) -> list[Tick]:
    """Return the latest ticks of a schedule."""
    query = sa.select(schedule_tick).where(schedule_tick.c.schedule_id == schedule_id)
    rows = connection.execute(query.order_by(schedule_tick.c.nominal.desc()).limit(limit))
    return [
        Tick(schedule=row.schedule_id, nominal=row.nominal, run=row.run_id, created_at=row.created_at)
        for row in rows
    ]


def insert_backfill(connection: sa.Connection, made: Backfill, identity: str) -> str:
    """Insert a backfill, or change the workers, order and options of the one that has this identity; return its id."""
    values = {name: getattr(made, name) for name in _FIELDS}
    again = {"workers": made.workers, "is_reversed": made.is_reversed, "options": made.options}
    statement = upsert(connection, backfill).values(**values, identity=identity, passes=0)
    statement = statement.on_conflict_do_update(index_elements=["identity"], set_=again)
    return str(connection.execute(statement.returning(backfill.c.id)).scalar_one())


def insert_dates(connection: sa.Connection, backfill_id: str, nominals: Sequence[str]) -> int:
    """Insert the dates that are not there; return how many that were."""
    count = 0
    for place in range(0, len(nominals), _ROWS):
        rows = [
            {"backfill_id": backfill_id, "nominal": n, "run_id": ""} for n in nominals[place : place + _ROWS]
        ]
        statement = upsert(connection, backfill_date).values(rows).on_conflict_do_nothing()
        count += len(connection.execute(statement.returning(backfill_date.c.nominal)).all())
    return count


def open_again(connection: sa.Connection, backfill_id: str, nominals: Sequence[str] | None = None) -> int:
    """Take the run from dates whose run failed or was cancelled, of all or of some; return how many."""
    ended = sa.select(pipeline_run.c.id).where(pipeline_run.c.status.in_(_AGAIN))
    where = [backfill_date.c.backfill_id == backfill_id, backfill_date.c.run_id.in_(ended)]
    if nominals is not None:
        where += [backfill_date.c.nominal >= min(nominals), backfill_date.c.nominal <= max(nominals)]
    return connection.execute(backfill_date.update().where(*where).values(run_id="")).rowcount


def set_status(connection: sa.Connection, backfill_id: str, status: str, ended_at: datetime | None) -> None:
    """Change the state of a backfill."""
    change = backfill.update().where(backfill.c.id == backfill_id)
    connection.execute(change.values(status=status, ended_at=ended_at))


def lock_backfill(connection: sa.Connection, backfill_id: str) -> bool:
    """Wait for other passes over a backfill; say whether it still runs."""
    where = sa.and_(backfill.c.id == backfill_id, backfill.c.status == "running")
    passes = backfill.update().where(where).values(passes=backfill.c.passes + 1)
    return connection.execute(passes).rowcount == 1


def open_dates(connection: sa.Connection, plan: Backfill, limit: int) -> list[str]:
    """Return the next dates without a run, in the order of the backfill."""
    nominal = backfill_date.c.nominal
    query = sa.select(nominal).where(backfill_date.c.backfill_id == plan.id, backfill_date.c.run_id == "")
    order = nominal.desc() if plan.is_reversed else nominal
    return list(connection.execute(query.order_by(order).limit(limit)).scalars())


def start_date(connection: sa.Connection, backfill_id: str, nominal: str, run_id: str) -> None:
    """Give a date its run."""
    where = sa.and_(backfill_date.c.backfill_id == backfill_id, backfill_date.c.nominal == nominal)
    connection.execute(backfill_date.update().where(where).values(run_id=run_id))


def cancel_queued(connection: sa.Connection, backfill_id: str, now: datetime) -> int:
    """Cancel the runs of a backfill that no worker has taken; return how many."""
    mine = sa.select(backfill_date.c.run_id).where(backfill_date.c.backfill_id == backfill_id)
    where = sa.and_(pipeline_run.c.id.in_(mine), pipeline_run.c.status == "queued")
    change = {"status": "cancelled", "ended_at": now, "error": "its backfill was cancelled"}
    return connection.execute(pipeline_run.update().where(where).values(change)).rowcount


def read_backfills(connection: sa.Connection, *, backfill_id: str = "", status: str = "") -> list[Backfill]:
    """Return backfills with their counts, newest first: all, one, or those of a state."""
    query = sa.select(*(backfill.c[name] for name in _FIELDS)).order_by(backfill.c.id.desc())
    if backfill_id:
        query = query.where(backfill.c.id == backfill_id)
    if status:
        query = query.where(backfill.c.status == status)
    plans = [Backfill(**row._mapping) for row in connection.execute(query)]  # noqa: SLF001 - SQLAlchemy's public name
    return [msgspec.structs.replace(plan, counts=count_dates(connection, plan.id)) for plan in plans]


def count_dates(connection: sa.Connection, backfill_id: str) -> dict[str, int]:
    """Return how many dates are in each state of their run, or `open`."""
    state = sa.func.coalesce(pipeline_run.c.status, "open")
    dates = backfill_date.outerjoin(pipeline_run, pipeline_run.c.id == backfill_date.c.run_id)
    query = sa.select(state, sa.func.count()).select_from(dates)
    query = query.where(backfill_date.c.backfill_id == backfill_id).group_by(state)
    return {status: int(number) for status, number in connection.execute(query)}


def read_dates(connection: sa.Connection, backfill_id: str, *, after: str, limit: int) -> list[BackfillDate]:
    """Return the dates of a backfill with the state of their runs, in order of time."""
    dates = backfill_date.outerjoin(pipeline_run, pipeline_run.c.id == backfill_date.c.run_id)
    columns = (backfill_date.c.nominal, backfill_date.c.run_id, pipeline_run.c.status, pipeline_run.c.error)
    where = sa.and_(backfill_date.c.backfill_id == backfill_id, backfill_date.c.nominal > after)
    query = sa.select(*columns).select_from(dates).where(where)
    return [
        BackfillDate(nominal=row.nominal, run=row.run_id, status=row.status or "open", error=row.error or "")
        for row in connection.execute(query.order_by(backfill_date.c.nominal).limit(limit))
    ]


def live(counts: dict[str, int]) -> int:
    """Return how many dates have a run that is queued or running."""
    return sum(counts.get(status, 0) for status in _LIVE)
