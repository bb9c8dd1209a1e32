"""The table of stored evaluations; the report itself is an object. Tests: tests/unit/evaluation/test_service.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from everloop.core.digests import Digest
from everloop.kernel.catalog.schema import Time, metadata

if TYPE_CHECKING:
    from collections.abc import Iterable

evaluation = sa.Table(
    "evaluation",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("against", sa.Text, nullable=False),
    sa.Column("data", sa.Text, nullable=False),
    sa.Column("created_at", Time, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Index("ix_evaluation_subject", "subject", "id"),
)


def roots(connection: sa.Connection) -> Iterable[tuple[Digest, str]]:
    """Yield the report of every evaluation."""
    for row in connection.execute(sa.select(evaluation.c.digest, evaluation.c.id)):
        yield Digest(row.digest), f"report of evaluation {row.id}"
