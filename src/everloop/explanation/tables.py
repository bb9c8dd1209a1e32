"""The table of stored explanations; the explanation itself is an object. Tests: tests/unit/explanation/test_service.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from everloop.core.digests import Digest
from everloop.kernel.catalog.schema import Time, metadata

if TYPE_CHECKING:
    from collections.abc import Iterable

explanation = sa.Table(
    "explanation",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("created_at", Time, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Index("ix_explanation_subject", "subject", "id"),
)


def roots(connection: sa.Connection) -> Iterable[tuple[Digest, str]]:
    """Yield the content of every explanation."""
    for row in connection.execute(sa.select(explanation.c.digest, explanation.c.subject)):
        yield Digest(row.digest), f"explanation of {row.subject}"
