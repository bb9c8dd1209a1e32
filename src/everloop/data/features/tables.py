"""SQL tables of features: saved views, and the rows that are looked up online.

A row of `feature_row` belongs to the materialisation `since`; readers see those up to the `current` one of `feature_online`,
so that a materialisation becomes visible by one change of that number. Tests: tests/unit/data/features/test_featuring.py.
"""

from __future__ import annotations

import sqlalchemy as sa

from everloop.data.features.records import ParityCheck
from everloop.kernel.catalog.schema import Json, Time, metadata

feature_view = sa.Table(
    "feature_view",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    # JSON in the order it was given: the order of features is that of their columns.
    sa.Column("definition", sa.Text, nullable=False),
    sa.Column("created_at", Time, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
)

feature_online = sa.Table(
    "feature_online",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("current", sa.Integer, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("horizon", Time, nullable=False),
    sa.Column("form", sa.LargeBinary, nullable=False),
    sa.Column("keys", sa.BigInteger, nullable=False),
    sa.Column("is_followed", sa.Boolean, nullable=False),
    # When the attempt last did something, by the database's clock: another process takes over when it is long ago.
    sa.Column("touched_at", Time, nullable=False),
)

feature_row = sa.Table(
    "feature_row",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("since", sa.Integer, primary_key=True),
    sa.Column("rows", sa.LargeBinary, nullable=False),
)

feature_parity = sa.Table(
    "feature_parity",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("result", Json(ParityCheck), nullable=False),
    sa.Index("ix_feature_parity_name", "name", "version"),
)
