"""The kinds of checks, as users write them: `check.not_null("dest")`.

Each has a severity: `fail` refuses the version, `warn` only says so, and `quarantine`, of checks on rows, puts the rows that
fail aside. With `share=0.99` a check on rows passes when that share of the rows it looks at does; missing values are looked
at by `not_null` only. Tests: tests/unit/data/test_checks.py, tests/unit/data/test_suites.py.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from everloop.core.durations import parse_duration
from everloop.data.check_kinds import InvalidCheckError, checked
from everloop.data.records import Check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import timedelta

    from everloop.data.records import Severity
    from everloop.data.table import Table

__all__ = [
    "InvalidCheckError",
    "between",
    "distinct",
    "expression",
    "fresh",
    "has_columns",
    "in_set",
    "length",
    "matches",
    "mean",
    "not_in_set",
    "not_null",
    "null_share",
    "of_type",
    "python",
    "quantile",
    "references",
    "row_count",
    "sql",
    "std",
    "unique",
]


def not_null(column: str, *, share: float = 1.0, severity: Severity = "fail") -> Check:
    """Demand a value in every row; a float that is not a number counts as missing."""
    return checked(Check(kind="not_null", column=column, share=share, severity=severity))


def of_type(column: str, type: str, *, severity: Severity = "fail") -> Check:  # noqa: A002 - reads as `of_type(column, type)`
    """Demand a type: Arrow's or DuckDB's name of it, or `number`, `integer`, `text`, `time`."""
    return checked(Check(kind="of_type", column=column, type=type, severity=severity))


def between(
    column: str,
    low: float | str | date | None = None,
    high: float | str | date | None = None,
    *,
    share: float = 1.0,
    severity: Severity = "fail",
) -> Check:
    """Demand `low <= value <= high`; None leaves a side open. Missing values pass."""
    return checked(
        Check(
            kind="between", column=column, low=_bound(low), high=_bound(high), share=share, severity=severity
        )
    )


def in_set(
    column: str, values: Iterable[str | float | bool], *, share: float = 1.0, severity: Severity = "fail"
) -> Check:
    """Demand one of the values. Missing values pass."""
    return checked(Check(kind="in_set", column=column, values=list(values), share=share, severity=severity))


def not_in_set(
    column: str, values: Iterable[str | float | bool], *, share: float = 1.0, severity: Severity = "fail"
) -> Check:
    """Demand none of the values. Missing values pass."""
    return checked(
        Check(kind="not_in_set", column=column, values=list(values), share=share, severity=severity)
    )


def matches(column: str, pattern: str, *, share: float = 1.0, severity: Severity = "fail") -> Check:
    """Demand that the whole text matches a regular expression (RE2). Missing values pass."""
    return checked(Check(kind="matches", column=column, pattern=pattern, share=share, severity=severity))


def length(
    column: str,
    low: int | None = None,
    high: int | None = None,
    *,
    share: float = 1.0,
    severity: Severity = "fail",
) -> Check:
    """Demand so many characters of a text, or items of a list. Missing values pass."""
    return checked(Check(kind="length", column=column, low=low, high=high, share=share, severity=severity))


def unique(
    *columns: str, approximate: bool = False, share: float = 1.0, severity: Severity = "fail"
) -> Check:
    """Demand that no value of a column, or of several together, comes twice; the first of equal rows passes.

    Rows with a missing value pass. With `approximate` different values are counted by a sketch that takes no memory: it finds
    only repeats of more than 15 % of the rows, and for an append it looks at the new rows alone.
    """
    named: dict[str, Any] = {"column": columns[0]} if len(columns) == 1 else {"columns": list(columns)}
    return checked(Check(kind="unique", is_approximate=approximate, share=share, severity=severity, **named))


def expression(condition: str, *, name: str = "", share: float = 1.0, severity: Severity = "fail") -> Check:
    """Demand that a condition in DuckDB's SQL is true of each row: `expression("arrival >= departure")`.

    A row of which it is neither true nor false, because a value is missing, passes.
    """
    return checked(Check(kind="expression", sql=condition, name=name, share=share, severity=severity))


def references(
    column: str, *, table: str, key: str = "", share: float = 1.0, severity: Severity = "fail"
) -> Check:
    """Demand that each value is one of a column of another dataset, `references("dest", table="airports", key="faa")`.

    The version of the other dataset is looked up when the check runs and named in the result. Missing values pass.
    """
    return checked(
        Check(
            kind="references", column=column, table=table, key=key or column, share=share, severity=severity
        )
    )


def row_count(*, min: int | None = None, max: int | None = None, severity: Severity = "fail") -> Check:  # noqa: A002 - reads as words
    """Demand a number of rows in the whole version."""
    return checked(Check(kind="row_count", low=min, high=max, severity=severity))


def has_columns(*columns: str, only: bool = False, severity: Severity = "fail") -> Check:
    """Demand these columns, in any order; with `only` no others."""
    return checked(Check(kind="has_columns", columns=list(columns), is_exact=only, severity=severity))


def mean(
    column: str, low: float | None = None, high: float | None = None, *, severity: Severity = "fail"
) -> Check:
    """Demand a mean within bounds. What is missing or no number does not count; a column without values fails."""
    return checked(Check(kind="mean", column=column, low=low, high=high, severity=severity))


def std(
    column: str, low: float | None = None, high: float | None = None, *, severity: Severity = "fail"
) -> Check:
    """Demand a standard deviation (n - 1) within bounds; see `mean`."""
    return checked(Check(kind="std", column=column, low=low, high=high, severity=severity))


def quantile(
    column: str,
    level: float,
    low: float | None = None,
    high: float | None = None,
    *,
    severity: Severity = "fail",
) -> Check:
    """Demand a quantile within bounds, the median with level 0.5; see `mean`.

    Exact, with interpolation, up to 5 million rows; beyond by a t-digest.
    """
    return checked(Check(kind="quantile", column=column, level=level, low=low, high=high, severity=severity))


def distinct(
    column: str,
    *,
    min: int | None = None,  # noqa: A002 - reads as words
    max: int | None = None,  # noqa: A002
    approximate: bool = False,
    severity: Severity = "fail",
) -> Check:
    """Demand a number of different values; with `approximate` counted by a sketch that errs by up to 15 %."""
    return checked(
        Check(
            kind="distinct", column=column, low=min, high=max, is_approximate=approximate, severity=severity
        )
    )


def null_share(column: str, max: float, *, severity: Severity = "fail") -> Check:  # noqa: A002 - reads as words
    """Demand that at most this share of the rows has no value, or a float that is no number."""
    return checked(Check(kind="null_share", column=column, high=max, severity=severity))


def fresh(column: str, within: timedelta | str | float, *, severity: Severity = "fail") -> Check:
    """Demand that the newest time of a column is at most this old when the check runs: `fresh("time", "2d")`."""
    within_s = parse_duration(within).total_seconds()
    return checked(Check(kind="fresh", column=column, within_s=within_s, severity=severity))


def sql(query: str, *, name: str = "", severity: Severity = "fail") -> Check:
    """Demand that a query finds nothing wrong: `sql("SELECT count(*) FROM rows WHERE price < cost")`.

    The query returns one number, how much is wrong; zero passes. It sees the table `rows`, and no file, address or variable.
    """
    return checked(Check(kind="sql", sql=query, name=name, severity=severity))


def python(function: Callable[[Table], bool | int], *, name: str = "", severity: Severity = "fail") -> Check:
    """Demand what a plain function of a `Table` says: True, or the number of what is wrong, zero for nothing.

    It runs in the process that made the check: with `add`, or with `check` in an embedded home. A function that can be
    imported by its name can be written to a suite file.
    """
    from everloop.data.check_functions import remember

    return checked(Check(kind="python", function=remember(function), name=name, severity=severity))


def _bound(value: float | str | date | None) -> float | str | None:
    return value.isoformat() if isinstance(value, date | datetime) else value
