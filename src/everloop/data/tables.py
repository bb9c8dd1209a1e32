"""SQL tables of the data stage. Tests: tests/unit/data/test_service.py."""

from __future__ import annotations

import sqlalchemy as sa

from everloop.data.records import Column, Suite, SuiteResult
from everloop.kernel.catalog.schema import Json, Time, metadata

dataset = sa.Table(
    "dataset",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("latest", sa.Integer, nullable=False),
    sa.Column("created_at", Time, nullable=False),
    sa.Column("shape", sa.Text, nullable=False),
    sa.Column("suite", Json(Suite)),
)

dataset_version = sa.Table(
    "dataset_version",
    metadata,
    sa.Column("dataset", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("shape", sa.Text, nullable=False),
    sa.Column("commit", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("manifest", sa.Text, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("files", sa.BigInteger, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("stored_bytes", sa.BigInteger, nullable=False),
    sa.Column("columns", Json(list[Column]), nullable=False),
    sa.Column("keys", Json(list[str]), nullable=False),
    sa.Column("branch", sa.Text, nullable=False),
    sa.Column("parent", sa.Integer, nullable=False),
    sa.Column("merged", sa.Integer, nullable=False),
    sa.Column("operation", sa.Text, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("event_time", sa.Text, nullable=False),
    sa.Column("known_time", sa.Text, nullable=False),
    sa.Column("run", sa.Text, nullable=False),
    sa.Column("created_at", Time, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("suite", Json(SuiteResult)),
    sa.Column("quarantine", sa.Text, nullable=False),
    sa.Index("ix_dataset_version_created_at", "dataset", "created_at"),
    sa.Index("ix_dataset_version_run", "run"),
    sa.Index("ix_dataset_version_commit", "dataset", "commit"),
)

dataset_ref = sa.Table(
    "dataset_ref",
    metadata,
    sa.Column("dataset", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("moves", sa.Integer, nullable=False),
    sa.Column("moved_at", Time, nullable=False),
    sa.Column("moved_by", sa.Text, nullable=False),
)

# Where a ref stood at any moment: what a date names.
dataset_ref_move = sa.Table(
    "dataset_ref_move",
    metadata,
    sa.Column("dataset", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("moved_at", Time, nullable=False),
)

# By the live rows of a part: versions share what they share of their parts.
part_statistics = sa.Table(
    "part_statistics",
    metadata,
    sa.Column("part", sa.Text, primary_key=True),
    sa.Column("statistics", sa.LargeBinary, nullable=False),
)

dataset_check = sa.Table(
    "dataset_check",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("dataset", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("suite", Json(Suite), nullable=False),
    sa.Column("result", Json(SuiteResult), nullable=False),
    sa.Column("created_at", Time, nullable=False),
    sa.Index("ix_dataset_check_dataset", "dataset", "version"),
)

# What was deleted and can be brought back until a moment; version 0 stands for the whole dataset. Of what is purged the row of
# the version stays, so that history, lineage and events still name it; its objects do not.
dataset_trash = sa.Table(
    "dataset_trash",
    metadata,
    sa.Column("dataset", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("trashed_at", Time, nullable=False),
    sa.Column("trashed_by", sa.Text, nullable=False),
    sa.Column("until", Time, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("purged_at", Time, nullable=True),
)
