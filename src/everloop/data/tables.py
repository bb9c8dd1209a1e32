"""SQL tables of the data stage, and what they keep alive. Tests: tests/unit/data/test_service.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from everloop.core.digests import Digest
from everloop.data.records import Column, Part, Profile, Suite, SuiteResult
from everloop.kernel.catalog.schema import Json, Time, metadata

if TYPE_CHECKING:
    from collections.abc import Iterator

dataset = sa.Table(
    "dataset",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("latest", sa.Integer, nullable=False),
    sa.Column("created_at", Time, nullable=False),
)

dataset_version = sa.Table(
    "dataset_version",
    metadata,
    sa.Column("dataset", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("row_count", sa.BigInteger, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("columns", Json(list[Column]), nullable=False),
    sa.Column("parts", Json(list[Part]), nullable=False),
    sa.Column("chunks", Json(list[str]), nullable=False),
    sa.Column("parent", sa.Integer, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("event_time", sa.Text, nullable=False),
    sa.Column("created_at", Time, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("suite", Json(SuiteResult)),
    sa.Column("quarantine", sa.Text, nullable=False),
    sa.Index("ix_dataset_version_created_at", "dataset", "created_at"),
)

# By content, not by version: two versions with the same content share one profile.
dataset_profile = sa.Table(
    "dataset_profile",
    metadata,
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("profile", Json(Profile), nullable=False),
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


def roots(connection: sa.Connection) -> Iterator[tuple[Digest, str]]:
    """Yield the objects that dataset versions are made of, each with the version that keeps it."""
    query = sa.select(dataset_version.c.dataset, dataset_version.c.version, dataset_version.c.parts)
    for row in connection.execute(query):
        for part in row.parts:
            yield Digest(part.digest), f"dataset:{row.dataset}@v{row.version}"
