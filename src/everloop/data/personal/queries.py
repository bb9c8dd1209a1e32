"""Reading and writing the rows of personal data. Tests: tests/unit/data/personal/test_protecting.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from everloop.data.personal.tables import masked_part, masked_version, personal_report

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from everloop.data.personal.records import MaskedPart, PersonalReport

_AT_ONCE = 500


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


def masked_parts(connection: sa.Connection, policy: str, parts: Sequence[str]) -> dict[str, MaskedPart]:
    """Return what parts became under a policy, by their keys; those that were never masked are left out."""
    found: dict[str, MaskedPart] = {}
    table = masked_part
    for start in range(0, len(parts), _AT_ONCE):
        query = sa.select(table.c.part, table.c.result).where(
            table.c.policy == policy, table.c.part.in_(parts[start : start + _AT_ONCE])
        )
        found |= {row.part: row.result for row in connection.execute(query)}
    return found


def keep_masked_parts(connection: sa.Connection, policy: str, parts: Mapping[str, MaskedPart]) -> None:
    """Keep what parts became, in place of what was known."""
    for part, result in parts.items():
        at = sa.and_(masked_part.c.policy == policy, masked_part.c.part == part)
        connection.execute(sa.delete(masked_part).where(at))
        connection.execute(masked_part.insert().values(policy=policy, part=part, result=result))


def last_mask(connection: sa.Connection, dataset: str) -> sa.Row[Any] | None:
    """Return how the newest masked version of a dataset came about; None when it has none."""
    table = masked_version
    query = sa.select(table).where(table.c.dataset == dataset).order_by(table.c.version.desc()).limit(1)
    return connection.execute(query).first()


def insert_mask(connection: sa.Connection, values: Mapping[str, object]) -> None:
    """Write how a version came about."""
    connection.execute(masked_version.insert().values(values))
