"""Queries of schedules, all in a connection that the caller opened. Tests: tests/unit/pipelines/test_schedules.py."""

from __future__ import annotations

import sqlalchemy as sa

from everloop.pipelines.schedule_records import Schedule, Tick
from everloop.pipelines.tables import schedule, schedule_tick


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
