"""SQL tables of retention: rules and quotas; `*` stands for every dataset without one of its own.

Tests: tests/unit/data/retention.
"""

from __future__ import annotations

import sqlalchemy as sa

from everloop.data.retention.records import Quota, RetentionRule
from everloop.kernel.catalog.schema import Json, metadata

dataset_retention = sa.Table(
    "dataset_retention",
    metadata,
    sa.Column("dataset", sa.Text, primary_key=True),
    sa.Column("rule", Json(RetentionRule), nullable=False),
)

# Of `*` the quota is for all datasets together.
dataset_quota = sa.Table(
    "dataset_quota",
    metadata,
    sa.Column("dataset", sa.Text, primary_key=True),
    sa.Column("quota", Json(Quota), nullable=False),
)

# Bytes first stored by versions that were purged since and that versions of today still need.
dataset_carried = sa.Table(
    "dataset_carried",
    metadata,
    sa.Column("dataset", sa.Text, primary_key=True),
    sa.Column("carried_bytes", sa.BigInteger, nullable=False),
)
