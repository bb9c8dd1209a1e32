"""Queries of tracking, all in a connection that the caller opened. Tests: tests/unit/tracking/test_service.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from everloop.tracking.records import DatasetInput, Experiment, Metric, Plain, Point, Run
from everloop.tracking.tables import (
    experiment,
    run,
    run_input,
    run_metric,
    run_metric_last,
    run_param,
    run_tag,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.sql.dml import Insert


def upsert(connection: sa.Connection, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    """Return an insert of the database's own kind, which knows ON CONFLICT."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def insert_missing(
    connection: sa.Connection, table: sa.Table, values: Mapping[str, object], *, key: str
) -> bool:
    """Insert a row unless its primary key is there; say whether it was inserted."""
    statement: Insert = (
        upsert(connection, table).values(values).on_conflict_do_nothing().returning(table.c[key])
    )
    return connection.execute(statement).first() is not None


def exists(connection: sa.Connection, run_id: str) -> bool:
    """Say whether there is such a run."""
    return connection.execute(sa.select(sa.literal(1)).where(run.c.id == run_id)).first() is not None


def set_params(connection: sa.Connection, run_id: str, params: Mapping[str, Plain]) -> None:
    """Set params; a name that is there gets the new value."""
    for name, value in params.items():
        number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
        row = {"run_id": run_id, "name": name, "value": value, "number": number}
        change = {"value": value, "number": number}
        statement = upsert(connection, run_param).values(row)
        connection.execute(statement.on_conflict_do_update(index_elements=["run_id", "name"], set_=change))


def set_tags(connection: sa.Connection, run_id: str, tags: Mapping[str, str]) -> None:
    """Set tags; a name that is there gets the new value."""
    for name, value in tags.items():
        statement = upsert(connection, run_tag).values(run_id=run_id, name=name, value=value)
        connection.execute(
            statement.on_conflict_do_update(index_elements=["run_id", "name"], set_={"value": value})
        )


def add_points(connection: sa.Connection, run_id: str, points: Sequence[Point]) -> None:
    """Append points and move the last values."""
    if not points:
        return
    rows = [
        {"run_id": run_id, "name": p.name, "step": p.step, "time": p.time, "value": p.value} for p in points
    ]
    connection.execute(run_metric.insert(), rows)
    last: dict[str, Point] = {}
    for point in points:
        before = last.get(point.name)
        if before is None or point.step >= before.step:
            last[point.name] = point
    for point in last.values():
        row = {
            "run_id": run_id,
            "name": point.name,
            "step": point.step,
            "time": point.time,
            "value": point.value,
        }
        statement = upsert(connection, run_metric_last).values(row)
        change = {name: statement.excluded[name] for name in ("step", "time", "value")}
        newer = run_metric_last.c.step <= statement.excluded.step
        connection.execute(
            statement.on_conflict_do_update(index_elements=["run_id", "name"], set_=change, where=newer)
        )


def read_run(connection: sa.Connection, run_id: str) -> Run | None:
    """Return one run with everything that is small."""
    found = _fill(connection, connection.execute(sa.select(run).where(run.c.id == run_id)).all())
    return found[0] if found else None


def list_runs(
    connection: sa.Connection, *, experiment: str, status: str, limit: int, after: str
) -> list[Run]:
    """Return runs, newest first: one query for runs and one for each kind of value."""
    query = sa.select(run).order_by(run.c.id.desc()).limit(limit)
    if experiment:
        query = query.where(run.c.experiment == experiment)
    if status:
        query = query.where(run.c.status == status)
    if after:
        query = query.where(run.c.id < after)
    return _fill(connection, connection.execute(query).all())


def _fill(connection: sa.Connection, rows: Sequence[sa.Row[tuple[object, ...]]]) -> list[Run]:
    ids = [row.id for row in rows]
    params = _by_run(connection, run_param, ids)
    tags = _by_run(connection, run_tag, ids)
    metrics = _by_run(connection, run_metric_last, ids)
    inputs = _by_run(connection, run_input, ids)
    return [
        Run(
            id=row.id,
            experiment=row.experiment,
            name=row.name,
            status=row.status,
            created_at=row.created_at,
            ended_at=row.ended_at,
            error=row.error,
            capture=row.capture,
            params={item.name: item.value for item in params.get(row.id, [])},
            tags={item.name: item.value for item in tags.get(row.id, [])},
            metrics=[
                Metric(name=m.name, value=m.value, step=m.step, time=m.time) for m in metrics.get(row.id, [])
            ],
            inputs=[DatasetInput(name=i.name, ref=i.ref, digest=i.digest) for i in inputs.get(row.id, [])],
        )
        for row in rows
    ]


def _by_run(
    connection: sa.Connection, table: sa.Table, ids: Sequence[str]
) -> dict[str, list[sa.Row[tuple[object, ...]]]]:
    found: dict[str, list[sa.Row[tuple[object, ...]]]] = {}
    if ids:
        query = sa.select(table).where(table.c.run_id.in_(ids)).order_by(table.c.run_id, table.c.name)
        for row in connection.execute(query):
            found.setdefault(row.run_id, []).append(row)
    return found


def list_experiments(connection: sa.Connection) -> list[Experiment]:
    """Return the experiments with the number of their runs."""
    counts = sa.select(run.c.experiment, sa.func.count().label("runs")).group_by(run.c.experiment).subquery()
    query = (
        sa.select(
            experiment.c.name, experiment.c.created_at, sa.func.coalesce(counts.c.runs, 0).label("runs")
        )
        .outerjoin(counts, counts.c.experiment == experiment.c.name)
        .order_by(experiment.c.name)
    )
    return [
        Experiment(name=row.name, created_at=row.created_at, runs=row.runs)
        for row in connection.execute(query)
    ]


def history(connection: sa.Connection, run_id: str, *, name: str, limit: int, after: float) -> list[Point]:
    """Return points by name and step."""
    query = sa.select(run_metric).where(run_metric.c.run_id == run_id).limit(limit)
    if name:
        query = query.where(run_metric.c.name == name)
    if after:
        query = query.where(run_metric.c.step > after)
    rows = connection.execute(query.order_by(run_metric.c.name, run_metric.c.step, run_metric.c.id))
    return [Point(name=row.name, value=row.value, step=row.step, time=row.time) for row in rows]
