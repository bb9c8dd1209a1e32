"""Tables of the event log and of lineage. Tests: tests/unit/kernel/test_events.py."""

from __future__ import annotations

import sqlalchemy as sa

from everloop.kernel.catalog.schema import Time, metadata

Serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

event = sa.Table(
    "event",
    metadata,
    sa.Column("seq", Serial, primary_key=True, autoincrement=True),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("time", Time, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("payload", sa.Text, nullable=False),
    # Given by the sealer: 1, 2, 3 ... without a gap. A transaction that commits late gets a later position.
    sa.Column("position", sa.BigInteger, unique=True),
    sa.Column("previous_hash", sa.Text),
    sa.Column("hash", sa.Text),
    sa.Index("ix_event_subject", "subject", "seq"),
    sa.Index("ix_event_kind", "kind", "seq"),
)

checkpoint = sa.Table(
    "event_checkpoint",
    metadata,
    sa.Column("position", sa.BigInteger, primary_key=True),
    sa.Column("hash", sa.Text, nullable=False),
    sa.Column("time", Time, nullable=False),
    sa.Column("public_key", sa.Text, nullable=False),
    sa.Column("signature", sa.Text, nullable=False),
)

lineage = sa.Table(
    "lineage",
    metadata,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("verb", sa.Text, primary_key=True),
    sa.Column("target", sa.Text, primary_key=True),
    sa.Column("event", sa.Text, nullable=False),
    sa.Index("ix_lineage_target", "target"),
)
