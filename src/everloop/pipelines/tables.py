"""SQL tables of pipelines. `lease_until` is in the database's time, every other time in the world's.

Tests: tests/unit/pipelines, tests/chaos.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from everloop.core.digests import Digest
from everloop.kernel.catalog.schema import Json, Time, metadata
from everloop.pipelines.records import Artifact, CacheKey, Graph, RunOptions

if TYPE_CHECKING:
    from collections.abc import Iterable

pipeline = sa.Table(
    "pipeline",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("bundle", sa.Text, nullable=False),
    sa.Column("entry", sa.Text, nullable=False),
    sa.Column("origin", sa.Text, nullable=False),
    sa.Column("graph", Json(Graph), nullable=False),
    sa.Column("updated_at", Time, nullable=False),
)

pipeline_run = sa.Table(
    "pipeline_run",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("pipeline", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("created_at", Time, nullable=False),
    sa.Column("started_at", Time),
    sa.Column("ended_at", Time),
    sa.Column("bundle", sa.Text),
    sa.Column("entry", sa.Text, nullable=False),
    sa.Column("origin", sa.Text, nullable=False),
    sa.Column("requested", Json(dict[str, object]), nullable=False),
    # Null until the run's references were resolved to versions, which happens once.
    sa.Column("inputs", Json(dict[str, Artifact])),
    sa.Column("outputs", Json(list[Artifact])),
    sa.Column("options", Json(RunOptions), nullable=False),
    # The priority with the other sign: in the order (status, rank, id) runs are claimed, along one index.
    sa.Column("rank", sa.Integer, nullable=False),
    sa.Column("pool", sa.Text, nullable=False),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("fence", sa.BigInteger, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("lease_until", Time),
    sa.Index("ix_pipeline_run_claim", "status", "rank", "id"),
    sa.Index("ix_pipeline_run_status", "status", "id"),
    sa.Index("ix_pipeline_run_pipeline", "pipeline", "id"),
)

step_run = sa.Table(
    "step_run",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("node", sa.Text, primary_key=True),
    sa.Column("pipeline", sa.Text, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    # 0 for a node of the graph; the items of a map count from 1.
    sa.Column("item", sa.Integer, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("key", Json(CacheKey)),
    sa.Column("outputs", Json(list[Artifact])),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("started_at", Time),
    sa.Column("ended_at", Time),
    sa.Index("ix_step_run_node", "pipeline", "node", "run_id"),
)

step_attempt = sa.Table(
    "step_attempt",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("node", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("worker", sa.Text, nullable=False),
    sa.Column("started_at", Time, nullable=False),
    sa.Column("ended_at", Time),
    sa.Column("error", sa.Text, nullable=False),
    # The end of the log; the whole of a longer one is an object.
    sa.Column("log", sa.Text, nullable=False),
    sa.Column("log_object", sa.Text),
    sa.Column("log_bytes", sa.BigInteger, nullable=False),
    sa.Column("peak_bytes", sa.BigInteger, nullable=False),
)

step_approval = sa.Table(
    "step_approval",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("node", sa.Text, primary_key=True),
    sa.Column("pipeline", sa.Text, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("asked_at", Time, nullable=False),
    sa.Column("expires_at", Time),
    sa.Column("decision", sa.Text, nullable=False),
    sa.Column("decided_by", sa.Text, nullable=False),
    sa.Column("decided_at", Time),
    sa.Column("comment", sa.Text, nullable=False),
    sa.Index("ix_step_approval_decision", "decision", "expires_at"),
)

pipeline_pool = sa.Table(
    "pipeline_pool",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("slots", sa.Integer, nullable=False),
)

step_cache = sa.Table(
    "step_cache",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("outputs", Json(list[Artifact]), nullable=False),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("node", sa.Text, nullable=False),
    sa.Column("created_at", Time, nullable=False),
)

schedule = sa.Table(
    "schedule",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("pipeline", sa.Text, nullable=False),
    sa.Column("cron", sa.Text, nullable=False),
    sa.Column("timezone", sa.Text, nullable=False),
    sa.Column("every", sa.Text, nullable=False),
    sa.Column("start_at", Time),
    sa.Column("end_at", Time),
    sa.Column("dataset", sa.Text, nullable=False),
    sa.Column("dataset_input", sa.Text, nullable=False),
    sa.Column("inputs", Json(dict[str, object]), nullable=False),
    sa.Column("nominal_input", sa.Text, nullable=False),
    sa.Column("catch_up", sa.Text, nullable=False),
    sa.Column("is_paused", sa.Boolean, nullable=False),
    sa.Column("created_at", Time, nullable=False),
    sa.Column("seen_until", Time, nullable=False),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("options", Json(RunOptions), nullable=False),
)

# The key decides the race of any number of schedulers: who inserts the row starts the run, in the same transaction.
schedule_tick = sa.Table(
    "schedule_tick",
    metadata,
    sa.Column("schedule_id", sa.Text, primary_key=True),
    sa.Column("nominal", sa.Text, primary_key=True),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("created_at", Time, nullable=False),
)

# One backfill for each pipeline, parameter, cadence and inputs (its identity); asked for again it goes on.
backfill = sa.Table(
    "backfill",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("identity", sa.Text, nullable=False, unique=True),
    sa.Column("pipeline", sa.Text, nullable=False),
    sa.Column("param", sa.Text, nullable=False),
    sa.Column("cadence", sa.Text, nullable=False),
    sa.Column("timezone", sa.Text, nullable=False),
    sa.Column("inputs", Json(dict[str, object]), nullable=False),
    sa.Column("workers", sa.Integer, nullable=False),
    sa.Column("is_reversed", sa.Boolean, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("created_at", Time, nullable=False),
    sa.Column("ended_at", Time),
    sa.Column("options", Json(RunOptions), nullable=False),
    # Raised by each pass that starts runs: on PostgreSQL it is what makes two passes wait for each other.
    sa.Column("passes", sa.BigInteger, nullable=False),
)

backfill_date = sa.Table(
    "backfill_date",
    metadata,
    sa.Column("backfill_id", sa.Text, primary_key=True),
    sa.Column("nominal", sa.Text, primary_key=True),
    # Empty until its run is started.
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Index("ix_backfill_date_run", "backfill_id", "run_id"),
)

pipeline_trigger = sa.Table(
    "pipeline_trigger",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("pipeline", sa.Text, nullable=False),
    sa.Column("on", sa.Text, nullable=False),
    sa.Column("what", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("where", Json(dict[str, object]), nullable=False),
    sa.Column("cause_input", sa.Text, nullable=False),
    sa.Column("accepts", Json(list[str]), nullable=False),
    # Where the secret is, never the secret.
    sa.Column("secret", sa.Text, nullable=False),
    sa.Column("stable_s", sa.Float, nullable=False),
    sa.Column("max_active", sa.Integer, nullable=False),
    sa.Column("debounce_s", sa.Float, nullable=False),
    sa.Column("when_busy", sa.Text, nullable=False),
    sa.Column("inputs", Json(dict[str, object]), nullable=False),
    sa.Column("options", Json(RunOptions), nullable=False),
    sa.Column("is_paused", sa.Boolean, nullable=False),
    sa.Column("created_at", Time, nullable=False),
    sa.Column("position", sa.BigInteger, nullable=False),
    # Raised by each pass that writes: on PostgreSQL it is what makes two passes wait for each other.
    sa.Column("passes", sa.BigInteger, nullable=False),
)

# The key decides the race of any number of schedulers, as that of a tick does.
trigger_cause = sa.Table(
    "trigger_cause",
    metadata,
    sa.Column("trigger", sa.Text, primary_key=True),
    sa.Column("cause", sa.Text, primary_key=True),
    sa.Column("given", Json(dict[str, object]), nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("seen_at", Time, nullable=False),
    sa.Index("ix_trigger_cause_status", "trigger", "status", "seen_at"),
)

# Files that are watched until their size stays the same.
trigger_file = sa.Table(
    "trigger_file",
    metadata,
    sa.Column("trigger", sa.Text, primary_key=True),
    sa.Column("path", sa.Text, primary_key=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("since", Time, nullable=False),
)


def roots(connection: sa.Connection) -> Iterable[tuple[Digest, str]]:
    """Yield the objects that pipelines, their runs and the cache point at, with the reason to keep each."""
    for row in connection.execute(sa.select(pipeline.c.name, pipeline.c.bundle)):
        yield Digest(row.bundle), f"code of pipeline {row.name}"
    columns = (pipeline_run.c.id, pipeline_run.c.bundle, pipeline_run.c.inputs, pipeline_run.c.outputs)
    for run in connection.execute(sa.select(*columns)):
        if run.bundle:
            yield Digest(run.bundle), f"code of run {run.id}"
        for artifact in [*(run.inputs or {}).values(), *(run.outputs or [])]:
            yield from _objects(artifact, f"input or result of run {run.id}")
    for step in connection.execute(sa.select(step_run.c.run_id, step_run.c.node, step_run.c.outputs)):
        for artifact in step.outputs or []:
            yield from _objects(artifact, f"output of step {step.node} in run {step.run_id}")
    of_log = (step_attempt.c.run_id, step_attempt.c.node, step_attempt.c.log_object)
    for log in connection.execute(sa.select(*of_log).where(of_log[-1].is_not(None))):
        yield Digest(log.log_object), f"log of step {log.node} in run {log.run_id}"
    for row in connection.execute(sa.select(step_cache.c.key, step_cache.c.outputs)):
        for artifact in row.outputs:
            yield from _objects(artifact, f"cached result {row.key}")


def _objects(artifact: Artifact, why: str) -> Iterable[tuple[Digest, str]]:
    for digest in artifact.objects.values():
        yield digest, why
