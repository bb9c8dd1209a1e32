"""Tables of serving. Tests: tests/unit/serving/test_service.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from everloop.core.digests import Digest
from everloop.kernel.catalog.schema import Json, Time, metadata
from everloop.serving.records import Routing

if TYPE_CHECKING:
    from collections.abc import Iterable

deployment = sa.Table(
    "deployment",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("routing", Json(Routing), nullable=False),
    sa.Column("created_at", Time, nullable=False),
)

deployment_routing = sa.Table(
    "deployment_routing",
    metadata,
    sa.Column("deployment", sa.Text, primary_key=True),
    sa.Column("generation", sa.Integer, primary_key=True),
    sa.Column("routing", Json(Routing), nullable=False),
)

gateway_state = sa.Table(
    "gateway_state",
    metadata,
    sa.Column("gateway", sa.Text, primary_key=True),
    sa.Column("deployment", sa.Text, primary_key=True),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("seen_at", Time, nullable=False),
)

log_part = sa.Table(
    "log_part",
    metadata,
    # The frames of one segment between two offsets: converting them again after a kill meets this key.
    sa.Column("segment", sa.Text, primary_key=True),
    sa.Column("start_offset", sa.BigInteger, primary_key=True),
    sa.Column("end_offset", sa.BigInteger, nullable=False),
    sa.Column("deployment", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("first_at", Time, nullable=False),
    sa.Column("last_at", Time, nullable=False),
    sa.Index("ix_log_part_deployment", "deployment", "kind", "last_at"),
)


def roots(connection: sa.Connection) -> Iterable[tuple[Digest, str]]:
    """Yield every part of the prediction log and of the labels."""
    for row in connection.execute(sa.select(log_part.c.digest, log_part.c.deployment, log_part.c.kind)):
        yield Digest(row.digest), f"{row.kind} of deployment {row.deployment}"
