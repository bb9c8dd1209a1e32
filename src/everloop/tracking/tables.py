"""SQL tables of tracking.

A run has a number inside and an id outside; names of params, metrics and tags are kept once, in `run_key`, so that a million runs
cost numbers. Points are never rows: they arrive in `run_tail`, one row a batch, and are sealed into `run_segment`. Tests: tests/unit/tracking.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from everloop.core.digests import Digest
from everloop.kernel.catalog.schema import Json, Time, metadata
from everloop.tracking.records import Capture, View

if TYPE_CHECKING:
    from collections.abc import Iterable

_Serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

experiment = sa.Table(
    "experiment",
    metadata,
    sa.Column("id", _Serial, primary_key=True, autoincrement=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("created_at", Time, nullable=False),
    sa.Column("updated_at", Time, nullable=False),
    sa.Column("deleted_at", Time),
    sa.Column("tags", Json(dict[str, str]), nullable=False),
    sqlite_autoincrement=True,
)

run = sa.Table(
    "run",
    metadata,
    sa.Column("number", _Serial, primary_key=True, autoincrement=True),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("experiment_id", sa.BigInteger, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("created_at", Time, nullable=False),
    sa.Column("ended_at", Time),
    sa.Column("deleted_at", Time),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    # The run around this one, and the run whose series this one goes on with after a step.
    sa.Column("parent", sa.BigInteger),
    sa.Column("fork_of", sa.BigInteger),
    sa.Column("fork_step", sa.Double),
    sa.Column("capture", Json(Capture), nullable=False),
    # Rises with every change of a run; readers that keep columns ask for what is newer (see search/changes.py).
    sa.Column("changed", sa.BigInteger, nullable=False),
    # What waits in run_tail.
    sa.Column("tail_rows", sa.Integer, nullable=False),
    sa.Column("tail_points", sa.Integer, nullable=False),
    sa.Column("tail_next", sa.Integer, nullable=False),
    sa.Index("ix_run_experiment", "experiment_id", "created_at", "number"),
    sa.Index("ix_run_created", "created_at", "number"),
    sa.Index("ix_run_changed", "changed"),
    sa.Index("ix_run_parent", "parent"),
    sqlite_autoincrement=True,
)

run_key = sa.Table(
    "run_key",
    metadata,
    sa.Column("id", _Serial, primary_key=True, autoincrement=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.UniqueConstraint("kind", "name"),
)

# Which keys the runs of an experiment have: the columns that a table can show.
experiment_key = sa.Table(
    "experiment_key",
    metadata,
    sa.Column("experiment_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("key_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

run_param = sa.Table(
    "run_param",
    metadata,
    sa.Column("run", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("key_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("value", Json(str | int | float | bool | None)),
    # The same value where it is a number, so that a search can compare it.
    sa.Column("number", sa.Double),
    sa.Index("ix_run_param_number", "key_id", "number", "run"),
    sqlite_with_rowid=False,
)

run_tag = sa.Table(
    "run_tag",
    metadata,
    sa.Column("run", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("key_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("value", sa.Text, nullable=False),
    sa.Index("ix_run_tag_key", "key_id", "run"),
    sqlite_with_rowid=False,
)

# One row a series: its latest value (greatest step, then time, then value) and its bounds. NULL stands for NaN.
run_metric = sa.Table(
    "run_metric",
    metadata,
    sa.Column("run", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("key_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("value", sa.Double),
    sa.Column("step", sa.Double, nullable=False),
    sa.Column("time", sa.BigInteger, nullable=False),
    sa.Column("least", sa.Double),
    sa.Column("greatest", sa.Double),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.Index("ix_run_metric_value", "key_id", "value", "run"),
    sqlite_with_rowid=False,
)

# Points that arrived and are not sealed: one row a batch, with all its series.
run_tail = sa.Table(
    "run_tail",
    metadata,
    sa.Column("run", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("place", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

# Sealed points of one series, and the summaries that a chart reads instead of them.
run_segment = sa.Table(
    "run_segment",
    metadata,
    sa.Column("run", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("key_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("place", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("points", sa.Integer, nullable=False),
    sa.Column("first_step", sa.Double, nullable=False),
    sa.Column("last_step", sa.Double, nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
    sa.Column("summaries", sa.LargeBinary, nullable=False),
)

# A search under a name.
run_view = sa.Table(
    "run_view",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("view", Json(View), nullable=False),
)

# The last batch of each writer: the same one again, or an older one, changes nothing.
run_writer = sa.Table(
    "run_writer",
    metadata,
    sa.Column("run", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("writer", sa.Text, primary_key=True),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# Values that are no numbers: small ones here, others as objects.
run_media = sa.Table(
    "run_media",
    metadata,
    sa.Column("run", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("key_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("step", sa.Double, primary_key=True, autoincrement=False),
    sa.Column("place", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("time", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("media_type", sa.Text, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("content", sa.LargeBinary),
    sa.Column("digest", sa.Text),
    sa.Column("details", Json(dict[str, str | int | float | bool | None]), nullable=False),
)

# What a run printed: lines in the order of their numbers, some hundred to a row.
run_output = sa.Table(
    "run_output",
    metadata,
    sa.Column("run", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("first", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("lines", sa.Integer, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    # Bytes of the rows before, so that the last row says how much there is.
    sa.Column("before_bytes", sa.BigInteger, nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

run_artifact = sa.Table(
    "run_artifact",
    metadata,
    sa.Column("run", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("created_at", Time, nullable=False),
)

run_input = sa.Table(
    "run_input",
    metadata,
    sa.Column("run", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("ref", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
)


def roots(connection: sa.Connection) -> Iterable[tuple[Digest, str]]:
    """Yield the objects that runs point at, with the reason to keep each."""
    artifacts = sa.select(run_artifact.c.digest, run_artifact.c.name, run.c.id).where(
        run.c.number == run_artifact.c.run
    )
    for row in connection.execute(artifacts):
        yield Digest(row.digest), f"artifact {row.name} of run {row.id}"
    media = sa.select(run_media.c.digest, run.c.id).where(
        run.c.number == run_media.c.run, run_media.c.digest.is_not(None)
    )
    for digest, uid in connection.execute(media):
        yield Digest(digest), f"media of run {uid}"
    for uid, capture in connection.execute(sa.select(run.c.id, run.c.capture)):
        for digest in (capture.diff, capture.environment):
            if digest is not None:
                yield digest, f"code or environment of run {uid}"
