"""Reading and writing the rows of personal data. Tests: tests/unit/data/personal/test_protecting.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from everloop.data.personal.tables import personal_report

if TYPE_CHECKING:
    from everloop.data.personal.records import PersonalReport


def find_report(connection: sa.Connection, digest: str, *, detector: int) -> PersonalReport | None:
    """Return the report of a content by the rules in force; None when there is none."""
    table = personal_report
    query = sa.select(table.c.report).where(table.c.digest == digest, table.c.detector == detector)
    found: PersonalReport | None = connection.execute(query).scalar()
    return found


def keep_report(connection: sa.Connection, report: PersonalReport) -> None:
    """Keep the report of a content in place of an older one."""
    connection.execute(sa.delete(personal_report).where(personal_report.c.digest == report.digest))
    values = {"digest": report.digest, "detector": report.detector, "report": report}
    connection.execute(personal_report.insert().values(values))
