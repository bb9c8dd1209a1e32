"""Queries of pipelines, all in a connection that the caller opened. Tests: tests/unit/pipelines/test_service.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from everloop.core.digests import Digest
from everloop.core.errors import NotFoundError
from everloop.pipelines.records import (
    Attempt,
    CacheKey,
    PipelineRun,
    PipelineVersion,
    StepRun,
)
from everloop.pipelines.tables import (
    pipeline,
    pipeline_pool,
    pipeline_run,
    step_attempt,
    step_run,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from everloop.pipelines.records import Artifact, Graph, RunOptions

_Row = sa.Row[tuple[object, ...]]


class PipelineNotFoundError(NotFoundError):
    """No pipeline of this name is registered."""

    code = "pipelines.not-found"


def upsert(connection: sa.Connection, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    """Return an insert of the database's own kind, which knows ON CONFLICT."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def insert_run(  # noqa: PLR0913 - the columns of one row
    connection: sa.Connection,
    *,
    run_id: str,
    name: str,
    now: datetime,
    options: RunOptions,
    requested: dict[str, object],
    inputs: dict[str, Artifact] | None = None,
    bundle: str | None = None,
    entry: str = "",
    origin: str = "",
) -> None:
    """Insert a queued run."""
    values = {"id": run_id, "pipeline": name, "status": "queued", "created_at": now, "options": options}
    code = {"bundle": bundle, "entry": entry, "origin": origin, "requested": requested, "inputs": inputs}
    lease = {
        "fence": 0,
        "owner": "",
        "error": "",
        "note": "",
        "rank": -options.priority,
        "pool": options.pool,
    }
    connection.execute(pipeline_run.insert().values(**values, **code, **lease))


def insert_steps(connection: sa.Connection, run_id: str, graph: Graph) -> None:
    """Insert the pending steps of a run, once."""
    known = connection.execute(sa.select(step_run.c.node).where(step_run.c.run_id == run_id).limit(1)).first()
    if known is not None or not graph.nodes:
        return
    shared = {
        "run_id": run_id,
        "pipeline": graph.name,
        "status": "pending",
        "attempts": 0,
        "reason": "",
        "item": 0,
    }
    rows = [{**shared, "node": node.name, "position": place} for place, node in enumerate(graph.nodes)]
    connection.execute(step_run.insert(), rows)


def insert_items(
    connection: sa.Connection, run_id: str, pipeline_name: str, node: str, items: Sequence[str]
) -> None:
    """Insert the pending items of a map, but for those that are there from an earlier execution."""
    if not items:
        return
    place = connection.execute(
        sa.select(step_run.c.position).where(step_run.c.run_id == run_id, step_run.c.node == node)
    ).scalar_one()
    shared = {
        "run_id": run_id,
        "pipeline": pipeline_name,
        "position": place,
        "status": "pending",
        "attempts": 0,
        "reason": "",
    }
    rows = [{**shared, "node": name, "item": number} for number, name in enumerate(items, start=1)]
    connection.execute(upsert(connection, step_run).on_conflict_do_nothing(), rows)


def read_run(connection: sa.Connection, run_id: str) -> PipelineRun | None:
    """Return a run with its steps."""
    row = connection.execute(sa.select(pipeline_run).where(pipeline_run.c.id == run_id)).first()
    return None if row is None else to_run(row, read_steps(connection, run_id))


def to_run(row: _Row, steps: list[StepRun]) -> PipelineRun:
    """Return the record of a row."""
    return PipelineRun(
        id=row.id,
        pipeline=row.pipeline,
        status=row.status,
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        bundle=Digest(row.bundle) if row.bundle else None,
        entry=row.entry,
        inputs=row.inputs or {},
        outputs=row.outputs or [],
        options=row.options,
        error=row.error,
        note=row.note,
        origin=row.origin,
        steps=steps,
    )


def read_steps(connection: sa.Connection, run_id: str) -> list[StepRun]:
    """Return the steps of a run in their order."""
    query = (
        sa.select(step_run).where(step_run.c.run_id == run_id).order_by(step_run.c.position, step_run.c.item)
    )
    return [
        StepRun(
            run=row.run_id,
            node=row.node,
            position=row.position,
            item=row.item,
            status=row.status,
            attempts=row.attempts,
            key=row.key,
            outputs=row.outputs or [],
            reason=row.reason,
            started_at=row.started_at,
            ended_at=row.ended_at,
        )
        for row in connection.execute(query)
    ]


def list_runs(
    connection: sa.Connection, *, name: str, status: str, limit: int, after: str
) -> list[PipelineRun]:
    """Return runs without their steps, newest first."""
    query = sa.select(pipeline_run).order_by(pipeline_run.c.id.desc()).limit(limit)
    if name:
        query = query.where(pipeline_run.c.pipeline == name)
    if status:
        query = query.where(pipeline_run.c.status == status)
    if after:
        query = query.where(pipeline_run.c.id < after)
    return [to_run(row, []) for row in connection.execute(query)]


def read_attempts(connection: sa.Connection, run_id: str, node: str) -> list[Attempt]:
    """Return the attempts of a run, or of one of its steps."""
    query = sa.select(step_attempt).where(step_attempt.c.run_id == run_id)
    if node:
        query = query.where(step_attempt.c.node == node)
    rows = connection.execute(query.order_by(step_attempt.c.node, step_attempt.c.number))
    return [
        Attempt(
            run=row.run_id,
            node=row.node,
            number=row.number,
            status=row.status,
            worker=row.worker,
            started_at=row.started_at,
            ended_at=row.ended_at,
            error=row.error,
            log=row.log,
            log_object=Digest(row.log_object) if row.log_object else None,
            log_bytes=row.log_bytes,
            peak_bytes=row.peak_bytes,
        )
        for row in rows
    ]


def nearest_key(connection: sa.Connection, step: StepRun, pipeline_name: str) -> tuple[CacheKey, str] | None:
    """Return the key of the latest earlier run of a node, and that run."""
    table = step_run.c
    where = sa.and_(
        table.pipeline == pipeline_name,
        table.node == step.node,
        table.run_id < step.run,
        table.key.is_not(None),
    )
    query = sa.select(table.key, table.run_id).where(where).order_by(table.run_id.desc()).limit(1)
    row = connection.execute(query).first()
    return None if row is None else (row.key, row.run_id)


def read_pipeline(connection: sa.Connection, name: str) -> tuple[PipelineVersion, str] | None:
    """Return a registered pipeline and the folder its code came from."""
    row = connection.execute(sa.select(pipeline).where(pipeline.c.name == name)).first()
    return None if row is None else (to_version(row), row.origin)


def to_version(row: _Row) -> PipelineVersion:
    """Return the record of a row."""
    return PipelineVersion(
        name=row.name, bundle=Digest(row.bundle), entry=row.entry, graph=row.graph, updated_at=row.updated_at
    )


def require_pipeline(connection: sa.Connection, name: str) -> tuple[PipelineVersion, str]:
    """Return a registered pipeline and the folder its code came from.

    Raises:
        PipelineNotFoundError: there is none of this name.
    """
    found = read_pipeline(connection, name)
    if found is None:
        raise PipelineNotFoundError(
            f"no pipeline {name} is registered. Register it with `everloop pipeline register FILE:{name}`.",
            subject=f"pipeline:{name}",
        )
    return found


def set_pool(connection: sa.Connection, name: str, slots: int) -> None:
    """Write the size of a pool."""
    statement = upsert(connection, pipeline_pool).values(name=name, slots=slots)
    connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"slots": slots}))


def full_pools(connection: sa.Connection, clock: datetime) -> list[str]:
    """Return the pools whose slots are all taken by live runs; on PostgreSQL claims of pools wait for each other."""
    query = sa.select(pipeline_pool)
    if connection.dialect.name == "postgresql":
        query = query.order_by(pipeline_pool.c.name).with_for_update()
    sizes = {row.name: row.slots for row in connection.execute(query)}
    if not sizes:
        return []
    table = pipeline_run.c
    is_live = sa.and_(table.status == "running", table.pool.in_(sorted(sizes)), table.lease_until >= clock)
    counts = sa.select(table.pool, sa.func.count().label("running")).where(is_live).group_by(table.pool)
    return [row.pool for row in connection.execute(counts) if row.running >= sizes[row.pool]]


def list_pipelines(connection: sa.Connection, *, limit: int, after: str) -> list[PipelineVersion]:
    """Return registered pipelines by name."""
    query = sa.select(pipeline).where(pipeline.c.name > after).order_by(pipeline.c.name).limit(limit)
    return [to_version(row) for row in connection.execute(query)]
