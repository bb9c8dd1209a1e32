"""Table of idempotency keys. Tests: tests/unit/kernel/test_operations.py."""

from __future__ import annotations

import sqlalchemy as sa

from everloop.kernel.catalog.schema import Time, metadata

idempotency = sa.Table(
    "idempotency",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("actor", sa.Text, primary_key=True),
    sa.Column("operation", sa.Text, nullable=False),
    # Digest of the arguments: the same key with other arguments is a mistake of the caller.
    sa.Column("request", sa.Text, nullable=False),
    sa.Column("response", sa.Text),
    sa.Column("created_at", Time, nullable=False),
)
