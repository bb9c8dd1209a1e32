"""SQL tables of tracking. Metric points are rows, never events: a run may log a million. Tests: tests/unit/tracking."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from everloop.core.digests import Digest
from everloop.kernel.catalog.schema import Json, Time, metadata
from everloop.tracking.records import Capture

if TYPE_CHECKING:
    from collections.abc import Iterable

_Serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

experiment = sa.Table(
    "experiment",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("created_at", Time, nullable=False),
)

run = sa.Table(
    "run",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("experiment", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("created_at", Time, nullable=False),
    sa.Column("ended_at", Time),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("capture", Json(Capture), nullable=False),
    sa.Index("ix_run_experiment", "experiment", "id"),
)

run_param = sa.Table(
    "run_param",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", Json(str | int | float | bool | None)),
    # The same value where it is a number, so that a search can compare it.
    sa.Column("number", sa.Double),
)

run_tag = sa.Table(
    "run_tag",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

run_metric = sa.Table(
    "run_metric",
    metadata,
    sa.Column("id", _Serial, primary_key=True, autoincrement=True),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("step", sa.Double, nullable=False),
    sa.Column("time", Time, nullable=False),
    sa.Column("value", sa.Double),
    sa.Index("ix_run_metric_series", "run_id", "name", "step", "id"),
)

run_metric_last = sa.Table(
    "run_metric_last",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("step", sa.Double, nullable=False),
    sa.Column("time", Time, nullable=False),
    sa.Column("value", sa.Double),
    sa.Index("ix_run_metric_last_value", "name", "value"),
)

# A batch that was applied: the same (run, writer, sequence) again changes nothing.
run_batch = sa.Table(
    "run_batch",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("writer", sa.Text, primary_key=True),
    sa.Column("sequence", sa.BigInteger, primary_key=True),
)

run_artifact = sa.Table(
    "run_artifact",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("created_at", Time, nullable=False),
)

run_input = sa.Table(
    "run_input",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("ref", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
)


def roots(connection: sa.Connection) -> Iterable[tuple[Digest, str]]:
    """Yield the objects that runs point at, with the reason to keep each."""
    for row in connection.execute(sa.select(run_artifact)):
        yield Digest(row.digest), f"artifact {row.name} of run {row.run_id}"
    for row in connection.execute(sa.select(run.c.id, run.c.capture)):
        for digest in (row.capture.diff, row.capture.environment):
            if digest is not None:
                yield digest, f"code or environment of run {row.id}"
