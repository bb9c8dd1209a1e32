"""Run a suite: all checks in ONE aggregate scan; only when rows must be put aside, a second one splits them.

Tests: tests/unit/data/test_suites.py.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import duckdb

from everloop.core.errors import InvalidInputError
from everloop.data import rules
from everloop.data.checks import InvalidCheckError
from everloop.data.engine import connect, literal, quote
from everloop.data.records import Check, CheckResult, Suite, SuiteResult
from everloop.data.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

REASON = "quarantine_reason"
_FLOATS = ("float", "double")
# Beyond so many rows different values are counted in a second scan, which may use the disk.
_DISTINCT_IN_MEMORY = 5_000_000


class MissingColumnError(InvalidInputError):
    """A check names a column that the table does not have."""

    code = "data.missing-column"


def run_suite(suite: Suite, rows: Table, *, before: Table | None = None) -> SuiteResult:
    """Return what a suite finds in `rows`.

    Args:
        suite: the checks.
        rows: the rows to look at.
        before: rows that are there already, for an append: `unique` and `row_count` look at both together.

    Raises:
        MissingColumnError: a check names an unknown column.
    """
    _refuse_missing_columns(suite, rows)
    counts = _scan(suite.checks, rows, before)
    total = rows.num_rows + (before.num_rows if before is not None else 0)
    results = [
        _result(check, rows, failed, total) for check, failed in zip(suite.checks, counts, strict=True)
    ]
    return SuiteResult(suite=suite.name, verdict=rules.judge(results), results=results)


def put_aside(suite: Suite, rows: Table, *, before: Table | None = None) -> tuple[Table, Table]:
    """Return the rows that pass every check of severity `quarantine`, and the others with their reasons.

    The others have the further column `quarantine_reason`, titles of the failed checks joined by "; ".
    """
    checks = [check for check in suite.checks if check.severity == "quarantine"]
    columns = ", ".join(quote(name) for name in rows.column_names)
    faults = ", ".join(
        f"CASE WHEN {_fault(check, rows, before)} THEN {literal(check.title)} END" for check in checks
    )
    numbered = "SELECT *, row_number() OVER () AS everloop_row FROM incoming"
    judged = f"SELECT *, nullif(concat_ws('; ', {faults}), '') AS {quote(REASON)} FROM ({numbered})"
    with connect(incoming=rows, **({"present": before} if before is not None else {})) as connection:
        connection.execute(f"CREATE TEMP TABLE judged AS {judged}")
        good = f"SELECT {columns} FROM judged WHERE {quote(REASON)} IS NULL ORDER BY everloop_row"
        bad = f"SELECT {columns}, {quote(REASON)} FROM judged WHERE {quote(REASON)} IS NOT NULL"
        bad += " ORDER BY everloop_row"
        return (
            Table(arrow=connection.sql(good).to_arrow_table()),
            Table(arrow=connection.sql(bad).to_arrow_table()),
        )


def _scan(checks: Sequence[Check], rows: Table, before: Table | None) -> list[int]:
    """Return how many rows fail each check; one statement, one scan."""
    counted = [
        f"coalesce(sum(CASE WHEN {_fault(check, rows, before)} THEN 1 ELSE 0 END), 0)"
        for check in checks
        if check.kind not in ("of_type", "row_count", "unique")
    ]
    repeats = [_repeats(check, before) for check in checks if check.kind == "unique"]
    if not counted and not repeats:
        return [0] * len(checks)
    # DuckDB groups on the disk when it must, and counts distinct values in memory only; so many rows get scans of their own.
    is_large = rows.num_rows > _DISTINCT_IN_MEMORY
    apart = [_grouped(check, before) for check in checks if check.kind == "unique"] if is_large else []
    together = counted if is_large else [*counted, *repeats]
    queries = [*([f"SELECT {', '.join(together)} FROM incoming"] if together else []), *apart]
    with connect(incoming=rows, **({"present": before} if before is not None else {})) as connection:
        try:
            row = [value for query in queries for value in connection.execute(query).fetchone() or ()]
        except duckdb.OutOfMemoryException:
            raise
        except duckdb.Error as error:
            raise InvalidCheckError(
                f"a check does not fit its column: {error} Compare numbers with numbers and text with text."
            ) from error
    of_rows, of_repeats = iter(row[: len(counted)]), iter(row[len(counted) :])
    found = []
    for check in checks:
        if check.kind == "unique":
            found.append(int(next(of_repeats)))
        else:
            found.append(0 if check.kind in ("of_type", "row_count") else int(next(of_rows)))
    return found


def _result(check: Check, rows: Table, failed: int, total: int) -> CheckResult:
    reason = ""
    if check.kind == "of_type":
        actual = {column.name: column.type for column in rows.columns}[check.column]
        if not rules.has_type(actual, check.type):
            reason = f"the type is {actual}"
    elif check.kind == "row_count":
        if (check.low is not None and total < _number(check.low)) or (
            check.high is not None and total > _number(check.high)
        ):
            reason = f"there are {total:,} rows"
    elif failed:
        reason = f"{failed:,} of {rows.num_rows:,} rows"
    failed_rows = failed or int(bool(reason))
    return CheckResult(
        check=check, is_passed=not reason, failed_rows=failed_rows, rows=rows.num_rows, reason=reason
    )


def _number(value: object) -> float:
    return float(str(value))


def _fault(check: Check, rows: Table, before: Table | None) -> str:
    """Return the SQL condition that is true for a row that fails the check."""
    column = quote(check.column)
    is_float = any(found.name == check.column and found.type in _FLOATS for found in rows.columns)
    if check.kind == "not_null":
        return f"({column} IS NULL OR isnan({column}))" if is_float else f"{column} IS NULL"
    if check.kind == "between":
        bounds = [f"{column} >= {literal(check.low)}"] * (check.low is not None)
        bounds += [f"{column} <= {literal(check.high)}"] * (check.high is not None)
        # DuckDB orders NaN above every number, so an open upper side needs the further condition.
        bounds += [f"NOT isnan({column})"] * is_float
        return f"({column} IS NOT NULL AND NOT ({' AND '.join(bounds)}))"
    if check.kind == "in_set":
        values = ", ".join(literal(value) for value in check.values)
        return f"({column} IS NOT NULL AND {column} NOT IN ({values}))"
    if check.kind == "matches":
        return (
            f"({column} IS NOT NULL AND NOT regexp_full_match({column}::VARCHAR, {literal(check.pattern)}))"
        )
    again = f"row_number() OVER (PARTITION BY {column} ORDER BY everloop_row) > 1"
    known = f" OR {column} IN (SELECT {column} FROM present)" if before is not None else ""
    return f"({column} IS NOT NULL AND ({again}{known}))"


def _repeats(check: Check, before: Table | None) -> str:
    column = quote(check.column)
    if before is None:
        return f"count({column}) - count(DISTINCT {column})"
    known = f"SELECT {column} FROM present WHERE {column} IS NOT NULL"
    return f"count({column}) - count(DISTINCT {column}) FILTER (WHERE {column} NOT IN ({known}))"


def _grouped(check: Check, before: Table | None) -> str:
    """Return the query that counts repeats of one column by grouping."""
    column = quote(check.column)
    grouped = f"SELECT {column}, count(*) AS times FROM incoming WHERE {column} IS NOT NULL GROUP BY {column}"
    if before is None:
        return f"SELECT coalesce(sum(times - 1), 0) FROM ({grouped})"
    known = f"(SELECT {column} FROM present)"
    return (
        f"SELECT (SELECT coalesce(sum(times - 1), 0) FROM ({grouped}) ANTI JOIN {known} USING ({column})) + "
        f"(SELECT coalesce(sum(times), 0) FROM ({grouped}) SEMI JOIN {known} USING ({column}))"
    )


def _refuse_missing_columns(suite: Suite, rows: Table) -> None:
    known = rows.column_names
    for check in suite.checks:
        if check.column and check.column not in known:
            near = difflib.get_close_matches(check.column, known, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"It has: {', '.join(known)}."
            raise MissingColumnError(
                f"suite {suite.name}: {check.title} needs a column the data does not have. {hint}",
                subject=f"suite:{suite.name}",
                details={"column": check.column, "columns": known},
            )
