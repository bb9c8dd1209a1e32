"""SQL tables of personal data: reports, kept by content; no value of a column is in them.

Tests: tests/unit/data/personal/test_protecting.py.
"""

from __future__ import annotations

import sqlalchemy as sa

from everloop.data.personal.records import PersonalReport
from everloop.kernel.catalog.schema import Json, metadata

personal_report = sa.Table(
    "personal_report",
    metadata,
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("detector", sa.Integer, nullable=False),
    sa.Column("report", Json(PersonalReport), nullable=False),
)
