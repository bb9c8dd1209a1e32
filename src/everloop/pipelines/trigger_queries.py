"""Queries of triggers, all in a connection that the caller opened. Tests: tests/unit/pipelines/test_triggers.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from everloop.pipelines.queries import upsert
from everloop.pipelines.tables import pipeline_run, pipeline_trigger, trigger_cause, trigger_file
from everloop.pipelines.trigger_records import Cause, Trigger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

# Values bound in one statement stay far below the limits of both databases.
_ROWS = 500
_ACTIVE = ("queued", "running", "waiting")
_FIELDS = Trigger.__struct_fields__


def read_triggers(connection: sa.Connection, name: str = "") -> list[Trigger]:
    """Return the triggers by name, or one of them."""
    query = sa.select(*(pipeline_trigger.c[field] for field in _FIELDS)).order_by(pipeline_trigger.c.name)
    if name:
        query = query.where(pipeline_trigger.c.name == name)
    return [Trigger(**row._mapping) for row in connection.execute(query)]  # noqa: SLF001 - SQLAlchemy's public name


def insert_trigger(connection: sa.Connection, made: Trigger) -> bool:
    """Insert a trigger; False when there is one of this name."""
    row = {field: getattr(made, field) for field in _FIELDS}
    statement = upsert(connection, pipeline_trigger).values(**row, passes=0).on_conflict_do_nothing()
    return connection.execute(statement.returning(pipeline_trigger.c.name)).first() is not None


def set_paused(connection: sa.Connection, name: str, *, is_paused: bool, position: int) -> None:
    """Pause a trigger or let it go on, from an event on."""
    change = pipeline_trigger.update().where(pipeline_trigger.c.name == name)
    connection.execute(change.values(is_paused=is_paused, position=position))


def delete_trigger(connection: sa.Connection, name: str) -> None:
    """Delete a trigger with its causes; the runs they started stay."""
    connection.execute(trigger_cause.delete().where(trigger_cause.c.trigger == name))
    connection.execute(trigger_file.delete().where(trigger_file.c.trigger == name))
    connection.execute(pipeline_trigger.delete().where(pipeline_trigger.c.name == name))


def lock_trigger(connection: sa.Connection, name: str) -> bool:
    """Wait for other passes over a trigger; say whether it is still there and not paused."""
    where = sa.and_(pipeline_trigger.c.name == name, pipeline_trigger.c.is_paused.is_(False))
    passes = pipeline_trigger.update().where(where).values(passes=pipeline_trigger.c.passes + 1)
    return connection.execute(passes).rowcount == 1


def move_position(connection: sa.Connection, name: str, position: int) -> None:
    """Take down up to which event a trigger has seen the log; it never goes back."""
    where = sa.and_(pipeline_trigger.c.name == name, pipeline_trigger.c.position < position)
    connection.execute(pipeline_trigger.update().where(where).values(position=position))


def insert_causes(connection: sa.Connection, causes: Sequence[Cause]) -> int:
    """Insert the causes that are not known yet; return how many that were."""
    count = 0
    for place in range(0, len(causes), _ROWS):
        rows = [_row(cause) for cause in causes[place : place + _ROWS]]
        statement = upsert(connection, trigger_cause).values(rows).on_conflict_do_nothing()
        count += len(connection.execute(statement.returning(trigger_cause.c.cause)).all())
    return count


def _row(cause: Cause) -> dict[str, object]:
    row = {field: getattr(cause, field) for field in cause.__struct_fields__}
    row["run_id"] = row.pop("run")
    return row


def _cause(row: sa.Row[tuple[object, ...]]) -> Cause:
    values = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name
    values["run"] = values.pop("run_id")
    return Cause(**values)


def read_waiting(connection: sa.Connection, name: str) -> list[Cause]:
    """Return the causes that wait for their run, oldest first."""
    query = sa.select(trigger_cause).where(
        trigger_cause.c.trigger == name, trigger_cause.c.status == "waiting"
    )
    order = (trigger_cause.c.seen_at, trigger_cause.c.cause)
    return [_cause(row) for row in connection.execute(query.order_by(*order))]


def read_causes(connection: sa.Connection, name: str, limit: int) -> list[Cause]:
    """Return the latest causes of a trigger."""
    query = sa.select(trigger_cause).where(trigger_cause.c.trigger == name)
    order = (trigger_cause.c.seen_at.desc(), trigger_cause.c.cause.desc())
    return [_cause(row) for row in connection.execute(query.order_by(*order).limit(limit))]


def known_causes(connection: sa.Connection, name: str) -> set[str]:
    """Return the keys of every cause of a trigger."""
    query = sa.select(trigger_cause.c.cause).where(trigger_cause.c.trigger == name)
    return set(connection.execute(query).scalars())


def set_cause(
    connection: sa.Connection, cause: Cause, status: str, *, reason: str = "", run: str = ""
) -> None:
    """Take down what came of a cause."""
    where = sa.and_(trigger_cause.c.trigger == cause.trigger, trigger_cause.c.cause == cause.cause)
    change = {"status": status, "reason": reason, "run_id": run}
    connection.execute(trigger_cause.update().where(where).values(change))


def count_active(connection: sa.Connection, name: str) -> int:
    """Return how many runs of a trigger have not ended."""
    runs = trigger_cause.join(pipeline_run, pipeline_run.c.id == trigger_cause.c.run_id)
    query = sa.select(sa.func.count()).select_from(runs)
    query = query.where(trigger_cause.c.trigger == name, pipeline_run.c.status.in_(_ACTIVE))
    return int(connection.execute(query).scalar_one())


def observed(connection: sa.Connection, name: str) -> dict[str, tuple[int, datetime]]:
    """Return the files that are watched until they are stable: their size, and since when they have it."""
    query = sa.select(trigger_file).where(trigger_file.c.trigger == name)
    return {row.path: (row.size, row.since) for row in connection.execute(query)}


def set_observed(
    connection: sa.Connection, name: str, files: Mapping[str, tuple[int, datetime]], gone: Sequence[str]
) -> None:
    """Take down sizes of watched files, and forget those that are gone or done."""
    for path, (size, since) in files.items():
        values = {"trigger": name, "path": path, "size": size, "since": since}
        statement = upsert(connection, trigger_file).values(values)
        again = {"size": size, "since": since}
        connection.execute(statement.on_conflict_do_update(index_elements=["trigger", "path"], set_=again))
    for path in gone:
        where = sa.and_(trigger_file.c.trigger == name, trigger_file.c.path == path)
        connection.execute(trigger_file.delete().where(where))


def read_cause(connection: sa.Connection, name: str, key: str) -> Cause:
    """Return one cause, which is there."""
    where = sa.and_(trigger_cause.c.trigger == name, trigger_cause.c.cause == key)
    return _cause(connection.execute(sa.select(trigger_cause).where(where)).one())
