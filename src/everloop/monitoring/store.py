"""SQL of monitoring, in connections the caller opened; each write says whether it won. Tests: tests/integration/test_monitoring.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from everloop.core.errors import NotFoundError
from everloop.monitoring.records import Monitor, PerformanceReference, Reference, Window, WindowFigure
from everloop.monitoring.tables import (
    monitor,
    monitor_drift,
    monitor_figure,
    monitor_reference,
    monitor_window,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from typing import Any


class MonitorNotFoundError(NotFoundError):
    """The model has no monitor."""

    code = "monitoring.monitor-not-found"


class ReportNotFoundError(NotFoundError):
    """No drift report speaks of this window."""

    code = "monitoring.report-not-found"


class Watched(NamedTuple):
    """A monitor, and the newest reference of its model with the time its windows are closed until."""

    monitor: Monitor
    reference: Reference | None
    closed_until: datetime | None


class Look(NamedTuple):
    """A closed window that is due to be looked at, with what it is judged against."""

    monitor: Monitor
    reference: Reference
    window: Window
    revision: int


_newest = (
    sa.select(sa.func.max(monitor_reference.c.number))
    .where(monitor_reference.c.model == monitor.c.model)
    .correlate(monitor)
    .scalar_subquery()
)


def watched(connection: sa.Connection, model: str = "") -> list[Watched]:
    """Return every monitor, or one model's."""
    joined = monitor.outerjoin(
        monitor_reference,
        sa.and_(monitor_reference.c.model == monitor.c.model, monitor_reference.c.number == _newest),
    )
    columns = [column for column in monitor_reference.c if column.name != "model"]
    query = (
        sa.select(monitor.c.model, monitor.c.settings, *columns).select_from(joined).order_by(monitor.c.model)
    )
    if model:
        query = query.where(monitor.c.model == model)
    return [
        Watched(row.settings, None if row.number is None else _reference(row), row.closed_until)
        for row in connection.execute(query)
    ]


def due(connection: sa.Connection, now: datetime) -> list[Look]:
    """Return the closed windows to look at again, oldest first."""
    on = sa.and_(
        monitor_reference.c.model == monitor_window.c.model,
        monitor_reference.c.number == monitor_window.c.reference,
    )
    joined = monitor_window.join(monitor, monitor.c.model == monitor_window.c.model).join(
        monitor_reference, on
    )
    found = monitor_window.c
    query = (
        sa.select(found.content, found.revision, monitor.c.settings, *monitor_reference.c)
        .select_from(joined)
        .where(found.next_look <= now)
        .order_by(found.model, found.end_at)
    )
    return [
        Look(row.settings, _reference(row), row.content, row.revision) for row in connection.execute(query)
    ]


def put_monitor(connection: sa.Connection, given: Monitor, now: datetime) -> bool:
    """Keep a monitor; say whether that changed anything."""
    present = sa.select(monitor.c.settings).where(monitor.c.model == given.model).with_for_update()
    if connection.execute(present).scalar() == given:
        return False
    connection.execute(monitor.delete().where(monitor.c.model == given.model))
    connection.execute(monitor.insert().values(model=given.model, settings=given, set_at=now))
    return True


def newest_reference(connection: sa.Connection, model: str) -> Reference | None:
    """Return the newest reference of a model."""
    query = sa.select(monitor_reference).where(monitor_reference.c.model == model)
    row = connection.execute(query.order_by(monitor_reference.c.number.desc()).limit(1)).first()
    return None if row is None else _reference(row)


def get_reference(connection: sa.Connection, model: str, number: int) -> Reference:
    """Return one reference, which must be there."""
    query = sa.select(monitor_reference).where(
        monitor_reference.c.model == model, monitor_reference.c.number == number
    )
    return _reference(connection.execute(query).one())


def insert_reference(connection: sa.Connection, made: Reference) -> bool:
    """Insert a reference unless another process made the same number."""
    values = {
        "model": made.model,
        "number": made.number,
        "version": made.version,
        "started_at": made.started_at,
        "closed_until": made.started_at,
        "performance": made.performance,
        "inputs": made.inputs,
        "inputs_from": made.inputs_from,
    }
    return _insert(connection, monitor_reference, values)


def set_inputs(connection: sa.Connection, reference: Reference) -> None:
    """Freeze the inputs of a reference, unless they are."""
    here = _is_reference(reference)
    values = {"inputs": reference.inputs, "inputs_from": reference.inputs_from}
    connection.execute(
        monitor_reference.update().where(here, monitor_reference.c.inputs == "").values(values)
    )


def set_performance(
    connection: sa.Connection, reference: Reference, performance: Mapping[str, PerformanceReference]
) -> None:
    """Add figures to the performance of a reference; what it has stays."""
    here = _is_reference(reference)
    present = connection.execute(
        sa.select(monitor_reference.c.performance).where(here).with_for_update()
    ).scalar()
    both = {**performance, **(present or {})}
    connection.execute(monitor_reference.update().where(here).values(performance=both))


def close_window(connection: sa.Connection, made: Window, next_look: datetime | None) -> bool:
    """Insert a window that has ended; False when another process closed it."""
    reference = monitor_reference.c
    claim = monitor_reference.update().where(
        reference.model == made.model,
        reference.number == made.reference,
        reference.closed_until == made.start,
    )
    if connection.execute(claim.values(closed_until=made.end)).rowcount == 0:
        return False
    values = {
        "model": made.model,
        "reference": made.reference,
        "start_at": made.start,
        "end_at": made.end,
        "revision": 1,
        "next_look": next_look,
        "content": made,
    }
    return _insert(connection, monitor_window, values)


def move_window(
    connection: sa.Connection, made: Window, *, revision: int, next_look: datetime | None
) -> bool:
    """Replace a window's content; False when it is no longer at this revision."""
    found = monitor_window.c
    here = sa.and_(
        found.model == made.model,
        found.reference == made.reference,
        found.start_at == made.start,
        found.revision == revision,
    )
    values = {"revision": revision + 1, "next_look": next_look, "content": made}
    return bool(connection.execute(monitor_window.update().where(here).values(values)).rowcount)


def has_earlier_unjudged(connection: sa.Connection, window: Window) -> bool:
    """Tell whether an earlier window of the same reference still waits for labels."""
    found = monitor_window.c
    query = sa.select(found.content).where(
        found.model == window.model,
        found.reference == window.reference,
        found.start_at < window.start,
        found.next_look.is_not(None),
    )
    return any(earlier.judged_at is None for earlier in connection.execute(query).scalars())


def insert_figure(connection: sa.Connection, window: Window, figure: WindowFigure) -> None:
    """Keep a figure beside the earlier ones."""
    key = {"model": window.model, "reference": window.reference, "start_at": window.start}
    _insert(connection, monitor_figure, {**key, "as_of": figure.as_of, "figure": figure})


def insert_drift(connection: sa.Connection, window: Window, digest: str) -> None:
    """Keep where a window's drift report lies."""
    key = {"model": window.model, "reference": window.reference, "start_at": window.start}
    _insert(
        connection,
        monitor_drift,
        {**key, "end_at": window.end, "verdict": window.drift, "digest": digest},
    )


def list_windows(
    connection: sa.Connection, model: str, *, limit: int, before: datetime | None
) -> list[Window]:
    """Return windows, newest first; `before` is the end of the last one already seen."""
    found = monitor_window.c
    query = sa.select(found.content).where(found.model == model)
    if before is not None:
        query = query.where(found.end_at < before)
    return list(
        connection.execute(query.order_by(found.end_at.desc(), found.reference.desc()).limit(limit)).scalars()
    )


def list_figures(connection: sa.Connection, model: str, window_end: datetime) -> list[WindowFigure]:
    """Return the figures of the window that ended then, as they became known."""
    found, window = monitor_figure.c, monitor_window.c
    on = sa.and_(
        found.model == window.model, found.reference == window.reference, found.start_at == window.start_at
    )
    query = (
        sa.select(found.figure)
        .select_from(monitor_figure.join(monitor_window, on))
        .where(window.model == model, window.end_at == window_end)
    )
    return list(connection.execute(query.order_by(found.as_of)).scalars())


def drift_digest(connection: sa.Connection, model: str, window_end: datetime | None) -> str:
    """Return where the drift report of a window lies, or of the newest that has one.

    Raises:
        ReportNotFoundError: there is none.
    """
    found = monitor_drift.c
    query = sa.select(found.digest).where(found.model == model).order_by(found.end_at.desc()).limit(1)
    if window_end is not None:
        query = query.where(found.end_at == window_end)
    digest = connection.execute(query).scalar()
    if digest is None:
        when = "" if window_end is None else f" for a window that ended at {window_end:%Y-%m-%d %H:%M}"
        raise ReportNotFoundError(
            f"{model} has no drift report{when}. `everloop monitor windows {model}` lists its windows.",
            subject=f"model:{model}",
        )
    return str(digest)


def _is_reference(reference: Reference) -> sa.ColumnElement[bool]:
    return sa.and_(
        monitor_reference.c.model == reference.model, monitor_reference.c.number == reference.number
    )


def _insert(connection: sa.Connection, table: sa.Table, values: dict[str, Any]) -> bool:
    build = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    statement = build(table).values(values).on_conflict_do_nothing()
    return bool(connection.execute(statement).rowcount)


def _reference(row: sa.Row[Any]) -> Reference:
    return Reference(
        model=row.model,
        number=row.number,
        version=row.version,
        started_at=row.started_at,
        performance=row.performance,
        inputs=row.inputs,
        inputs_from=row.inputs_from,
    )
