"""The kinds of checks, as users write them: `check.not_null("dest")`.

Tests: tests/unit/data/test_suites.py.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

from everloop.core.errors import InvalidInputError
from everloop.data.records import Check

if TYPE_CHECKING:
    from collections.abc import Iterable

    from everloop.data.records import Severity

__all__ = ["between", "in_set", "matches", "not_null", "of_type", "row_count", "unique"]


class InvalidCheckError(InvalidInputError):
    """A check cannot be run as it is written."""

    code = "data.invalid-check"


def not_null(column: str, *, severity: Severity = "fail") -> Check:
    """Demand a value in every row; a float that is not a number counts as missing."""
    return Check(kind="not_null", column=column, severity=severity)


def of_type(column: str, type: str, *, severity: Severity = "fail") -> Check:  # noqa: A002 - reads as `of_type(column, type)`
    """Demand a type: Arrow's or DuckDB's name of it, or `number`, `integer`, `text`, `time`."""
    return Check(kind="of_type", column=column, type=type, severity=_of_table(severity, "of_type"))


def between(
    column: str,
    low: float | str | datetime | None,
    high: float | str | datetime | None,
    *,
    severity: Severity = "fail",
) -> Check:
    """Demand `low <= value <= high`; None leaves a side open. Missing values pass."""
    if low is None and high is None:
        raise InvalidCheckError(f"between({column}) needs a lower or an upper bound.")
    return Check(kind="between", column=column, low=_bound(low), high=_bound(high), severity=severity)


def in_set(column: str, values: Iterable[str | float | bool], *, severity: Severity = "fail") -> Check:
    """Demand one of the values. Missing values pass."""
    listed = list(values)
    if not listed:
        raise InvalidCheckError(f"in_set({column}) needs at least one value.")
    return Check(kind="in_set", column=column, values=listed, severity=severity)


def matches(column: str, pattern: str, *, severity: Severity = "fail") -> Check:
    """Demand that the whole text matches a regular expression (RE2). Missing values pass."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise InvalidCheckError(
            f"matches({column}): {pattern!r} is no regular expression: {error}."
        ) from error
    return Check(kind="matches", column=column, pattern=pattern, severity=severity)


def unique(column: str, *, severity: Severity = "fail") -> Check:
    """Demand that no value comes twice; the first of equal rows passes. Missing values pass."""
    return Check(kind="unique", column=column, severity=severity)


def row_count(*, min: int | None = None, max: int | None = None, severity: Severity = "fail") -> Check:  # noqa: A002 - reads as words
    """Demand a number of rows in the whole version."""
    if min is None and max is None:
        raise InvalidCheckError("row_count() needs min or max.")
    return Check(kind="row_count", low=min, high=max, severity=_of_table(severity, "row_count"))


def _bound(value: float | str | datetime | None) -> float | str | None:
    return value.isoformat() if isinstance(value, datetime) else value


def _of_table(severity: Severity, kind: str) -> Severity:
    if severity == "quarantine":
        raise InvalidCheckError(
            f"{kind} looks at the whole table, so it cannot put rows aside; use warn or fail."
        )
    return severity
