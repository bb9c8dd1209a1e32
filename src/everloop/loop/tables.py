"""Tables of the loop. Tests: tests/unit/loop."""

from __future__ import annotations

import sqlalchemy as sa

from everloop.kernel.catalog.schema import Json, Time, metadata
from everloop.loop.records import Cycle, Policy

policy = sa.Table(
    "loop_policy",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("policy", Json(Policy), nullable=False),
    sa.Column("started_at", Time, nullable=False),
    sa.Column("is_active", sa.Boolean, nullable=False),
    sa.Column("is_paused", sa.Boolean, nullable=False),
)

cycle = sa.Table(
    "loop_cycle",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("began_at", Time, nullable=False),
    # One open cycle a model: the model's name while it is open, the cycle's id once it ended.
    sa.Column("single_flight", sa.Text, nullable=False, unique=True),
    # Raised with each change; a process that acts on an older state changes nothing.
    sa.Column("fence", sa.Integer, nullable=False),
    # Who works on it until when, by the database's clock.
    sa.Column("claimed_by", sa.Text, nullable=False),
    sa.Column("claimed_until", Time),
    sa.Column("cycle", Json(Cycle), nullable=False),
    sa.UniqueConstraint("model", "number"),
)
