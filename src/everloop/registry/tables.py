"""Tables of the registry. Tests: tests/unit/registry/test_service.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from everloop.core.digests import Digest
from everloop.kernel.catalog.schema import Json, Time, metadata
from everloop.registry.records import Signature

if TYPE_CHECKING:
    from collections.abc import Iterable

model = sa.Table(
    "model",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("created_at", Time, nullable=False),
    sa.Column("updated_at", Time, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("tags", Json(dict[str, str]), nullable=False),
)

model_version = sa.Table(
    "model_version",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("flavor", sa.Text, nullable=False),
    sa.Column("signature", Json(Signature), nullable=False),
    sa.Column("files", Json(dict[str, str]), nullable=False),
    sa.Column("run", sa.Text, nullable=False),
    sa.Column("data", Json(list[str]), nullable=False),
    sa.Column("metrics", Json(dict[str, float]), nullable=False),
    sa.Column("trained_until", Time, nullable=True),
    sa.Column("created_at", Time, nullable=False),
    sa.Column("author", sa.Text, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("tags", Json(dict[str, str]), nullable=False),
    sa.Column("updated_at", Time),
    # The row of a deleted version stays, so that its number is not given again; its files go.
    sa.Column("deleted_at", Time),
    sa.Index("ix_model_version_digest", "digest"),
)

model_alias = sa.Table(
    "model_alias",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("alias", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
)

model_alias_move = sa.Table(
    "model_alias_move",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("alias", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("previous", sa.Integer, nullable=False),
    sa.Column("moved_at", Time, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Index("ix_model_alias_move_model", "model", "alias", "id"),
)

gate_report = sa.Table(
    "gate_report",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("result", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("created_at", Time, nullable=False),
    sa.Index("ix_gate_report_model", "model", "version", "id"),
)

model_approval = sa.Table(
    "model_approval",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("gate_report", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("comment", sa.Text, nullable=False),
    sa.Column("approved_at", Time, nullable=False),
    sa.Index("ix_model_approval_model", "model", "version"),
)


def roots(connection: sa.Connection) -> Iterable[tuple[Digest, str]]:
    """Yield the manifest and files of every version, and every gate report."""
    for row in connection.execute(sa.select(model_version).where(model_version.c.deleted_at.is_(None))):
        why = f"model {row.model}@v{row.version}"
        yield Digest(row.digest), why
        yield from ((Digest(digest), why) for digest in row.files.values())
    for row in connection.execute(
        sa.select(gate_report.c.digest, gate_report.c.model, gate_report.c.version)
    ):
        yield Digest(row.digest), f"gate report of {row.model}@v{row.version}"
