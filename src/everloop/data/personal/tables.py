"""SQL tables of personal data: reports, kept by content, and what was masked how; no value of a column is in them.

Tests: tests/unit/data/personal/test_protecting.py.
"""

from __future__ import annotations

import sqlalchemy as sa

from everloop.data.personal.records import MaskedPart, MaskRule, PersonalReport
from everloop.kernel.catalog.schema import Json, metadata

personal_report = sa.Table(
    "personal_report",
    metadata,
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("detector", sa.Integer, nullable=False),
    sa.Column("report", Json(PersonalReport), nullable=False),
)

# What a part became, so that a version with further parts is masked by these alone.
masked_part = sa.Table(
    "masked_part",
    metadata,
    sa.Column("policy", sa.Text, primary_key=True),
    sa.Column("part", sa.Text, primary_key=True),
    sa.Column("result", Json(MaskedPart), nullable=False),
)

masked_version = sa.Table(
    "masked_version",
    metadata,
    sa.Column("dataset", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("policy", sa.Text, nullable=False),
    sa.Column("fingerprint", sa.Text, nullable=False),
    sa.Column("rules", Json(list[MaskRule]), nullable=False),
)
