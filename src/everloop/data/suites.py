"""Run a suite: all checks in ONE aggregate scan; only when rows must be put aside, a second one splits them.

Every check is bound before any row is read, so that one that cannot run is named and nothing else has run. Checks of kind
`sql` and `python` run apart. Tests: tests/unit/data/test_suites.py, tests/unit/data/test_checks.py.
"""

from __future__ import annotations

import math
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

import duckdb
import msgspec
import pyarrow as pa

from everloop.core.clock import SystemClock
from everloop.core.errors import InvalidInputError
from everloop.data import check_functions, rules
from everloop.data.check_kinds import InvalidCheckError, near, refuse_wrong
from everloop.data.check_rules import Facts, conclude
from everloop.data.check_sql import Question, Scene, columns_of, fault, floats_of, parse_sql, question
from everloop.data.engine import connect_locked, literal, pieces_of, quote
from everloop.data.records import Suite, SuiteResult
from everloop.data.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from everloop.data.records import Check

REASON = "quarantine_reason"
# Beyond so many rows different values are counted in a second scan, which may use the disk.
_DISTINCT_IN_MEMORY = 5_000_000
_NUMBERS = ("int", "uint", "float", "double", "decimal", "halffloat", "bool")
_TIMES = ("timestamp", "date")
_WANTED = {"mean": _NUMBERS, "std": _NUMBERS, "quantile": _NUMBERS, "fresh": _TIMES}


class MissingColumnError(InvalidInputError):
    """A check names a column that the table does not have."""

    code = "data.missing-column"


class _Asked(NamedTuple):
    check: Check
    question: Question


def run_suite(
    suite: Suite,
    rows: Table,
    *,
    before: Table | None = None,
    tables: Mapping[str, Table] | None = None,
    now: datetime | None = None,
) -> SuiteResult:
    """Return what a suite finds in `rows`.

    Args:
        suite: the checks.
        rows: the rows to look at.
        before: rows that are there already, for an append: `unique` and `row_count` look at both together.
        tables: the tables that checks of kind `references` name; `pin_references` finds them.
        now: the time for `fresh`, by default the present.

    Raises:
        InvalidCheckError: a check cannot run; it is named, and none has run.
        MissingColumnError: a check names an unknown column.
    """
    refuse_wrong(suite)
    _refuse_missing_columns(suite, rows)
    total = rows.num_rows + (before.num_rows if before is not None else 0)
    types = {column.name: column.type for column in rows.columns}
    facts = Facts(types, rows.num_rows, total, now or SystemClock().now())
    _refuse_unfit(suite, types)
    with ExitStack() as stack:
        asked, connection = _open(suite.checks, rows, before, tables or {}, stack)
        queries = [one for one in asked if one.check.kind == "sql"]
        alone = stack.enter_context(connect_locked(rows=rows)) if queries else connection
        _bind(asked, connection, alone)
        found = iter(_scan(asked, connection))
        results = [
            conclude(one.check, _measured(one.check, next(found), rows, alone), facts) for one in asked
        ]
    return SuiteResult(suite=suite.name, verdict=rules.judge(results), results=results)


def pin_references(suite: Suite, read: Callable[[str], Table]) -> tuple[Suite, dict[str, Table]]:
    """Return the suite with each other dataset named by its version, `airports@v3`, and those tables."""
    names = {check.table for check in suite.checks if check.kind == "references"}
    tables = {name: read(name) for name in sorted(names)}
    checks = [
        msgspec.structs.replace(check, table=tables[check.table].name or check.table)
        if check.kind == "references"
        else check
        for check in suite.checks
    ]
    return Suite(suite.name, checks), {table.name or name: table for name, table in tables.items()}


def put_aside(
    suite: Suite,
    rows: Table,
    *,
    before: Table | None = None,
    tables: Mapping[str, Table] | None = None,
    collect: Callable[[Iterator[pa.Table]], Table] | None = None,
) -> tuple[Table, Table]:
    """Return the rows that pass every check of severity `quarantine`, and the others with their reasons.

    The others have the further column `quarantine_reason`, titles of the failed checks joined by "; ".

    Args:
        suite: the checks.
        rows: the rows to look at.
        before: rows that are there already; see `run_suite`.
        tables: those that `references` looks into, by name.
        collect: makes a table of pieces; by default one in memory.
    """
    collect = collect or _in_memory
    checks = [check for check in suite.checks if check.severity == "quarantine"]
    columns = ", ".join(quote(name) for name in rows.column_names)
    with ExitStack() as stack:
        connection, scene = _connect(checks, rows, before, tables or {}, stack)
        faults = ", ".join(
            f"CASE WHEN {fault(check, scene)} THEN {literal(check.title)} END" for check in checks
        )
        numbered = "SELECT *, row_number() OVER () AS everloop_row FROM incoming"
        judged = f"SELECT *, nullif(concat_ws('; ', {faults}), '') AS {quote(REASON)} FROM ({numbered})"
        connection.execute(f"CREATE TEMP TABLE judged AS {judged}")
        good = f"SELECT {columns} FROM judged WHERE {quote(REASON)} IS NULL ORDER BY everloop_row"
        bad = f"SELECT {columns}, {quote(REASON)} FROM judged WHERE {quote(REASON)} IS NOT NULL"
        bad += " ORDER BY everloop_row"
        return collect(pieces_of(connection, good)), collect(pieces_of(connection, bad))


def _in_memory(pieces: Iterator[pa.Table]) -> Table:
    return Table(arrow=pa.concat_tables(pieces))


def _connect(
    checks: Sequence[Check], rows: Table, before: Table | None, tables: Mapping[str, Table], stack: ExitStack
) -> tuple[duckdb.DuckDBPyConnection, Scene]:
    views = _views(checks, tables)
    present = {"present": before} if before is not None else {}
    others = {view: tables[name] for name, view in views.items()}
    connection = stack.enter_context(connect_locked(incoming=rows, **present, **others))
    is_large = rows.num_rows > _DISTINCT_IN_MEMORY
    return connection, Scene(floats_of(rows), before is not None, is_large, views)


def _views(checks: Sequence[Check], tables: Mapping[str, Table]) -> dict[str, str]:
    views: dict[str, str] = {}
    for check in checks:
        if check.kind != "references":
            continue
        if check.table not in tables:
            raise InvalidCheckError(
                f"{check.title} needs the table {check.table}. Run the suite by `add` or `check`, which find it, or give tables=."
            )
        if check.key not in tables[check.table].column_names:
            raise MissingColumnError(
                f"{check.title}: {check.table} has no column {check.key}. {near(check.key, tables[check.table].column_names)}"
            )
        views[check.table] = f"other_{len(views)}" if check.table not in views else views[check.table]
    return views


def _open(
    checks: Sequence[Check], rows: Table, before: Table | None, tables: Mapping[str, Table], stack: ExitStack
) -> tuple[list[_Asked], duckdb.DuckDBPyConnection]:
    connection, scene = _connect(checks, rows, before, tables, stack)
    return [_Asked(check, question(check, scene)) for check in checks], connection


def _bind(asked: Sequence[_Asked], scan: duckdb.DuckDBPyConnection, alone: duckdb.DuckDBPyConnection) -> None:
    """Let DuckDB resolve every statement without running any.

    Raises:
        InvalidCheckError: it cannot; the first such check is named.
    """
    for one in asked:
        _bind_own(one.check, scan, alone)
    together = [aggregate for one in asked for aggregate in one.question.aggregates]
    try:
        if together:
            scan.execute(f"EXPLAIN SELECT {', '.join(together)} FROM incoming")
    except duckdb.Error:
        for one in asked:
            if one.question.aggregates:
                _explain(scan, f"SELECT {', '.join(one.question.aggregates)} FROM incoming", one.check)
        raise
    for one in asked:
        if one.question.apart:
            _explain(scan, one.question.apart, one.check)


def _bind_own(check: Check, scan: duckdb.DuckDBPyConnection, alone: duckdb.DuckDBPyConnection) -> None:
    """Find what a user wrote: the function, the query, the condition."""
    if check.kind == "python":
        check_functions.find(check.function)
    elif check.kind == "sql":
        _explain(alone, parse_sql(check), check)
    elif check.kind == "expression":
        _refuse_no_condition(scan, check)


def _explain(connection: duckdb.DuckDBPyConnection, query: str, check: Check) -> None:
    try:
        connection.execute(f"EXPLAIN {query}")
    except duckdb.Error as error:
        raise _unfit(check, error) from error


def _refuse_no_condition(connection: duckdb.DuckDBPyConnection, check: Check) -> None:
    query = f"DESCRIBE SELECT ({parse_sql(check)}) AS found FROM incoming"
    try:
        row = connection.execute(query).fetchone() or ("", "")
    except duckdb.Error as error:
        raise _unfit(check, error) from error
    if row[1] != "BOOLEAN":
        raise InvalidCheckError(f"{check.title} is of type {row[1]}, not a condition that is true or false.")


def _scan(asked: Sequence[_Asked], connection: duckdb.DuckDBPyConnection) -> list[list[float | None]]:
    """Return the values each check asked for: all aggregates in one statement, one scan."""
    together = [aggregate for one in asked for aggregate in one.question.aggregates]
    found: Sequence[float | None] = ()
    if together:
        try:
            found = connection.execute(f"SELECT {', '.join(together)} FROM incoming").fetchone() or ()
        except (duckdb.OutOfMemoryException, duckdb.InterruptException):
            raise
        except duckdb.Error as error:
            raise _blamed(asked, connection, error) from error
    values = iter(found)
    return [
        [
            *_apart(one, connection),
            *(next(values) for _ in one.question.aggregates),
        ]
        for one in asked
    ]


def _apart(one: _Asked, connection: duckdb.DuckDBPyConnection) -> list[float | None]:
    if not one.question.apart:
        return []
    return list(connection.execute(one.question.apart).fetchone() or [])


def _blamed(
    asked: Sequence[_Asked], connection: duckdb.DuckDBPyConnection, error: duckdb.Error
) -> InvalidCheckError:
    """Return the error of the check that cannot read its column, found by asking one by one."""
    for one in asked:
        if one.question.aggregates:
            try:
                connection.execute(f"SELECT {', '.join(one.question.aggregates)} FROM incoming")
            except duckdb.Error as found:
                return _unfit(one.check, found)
    return InvalidCheckError(f"these checks do not run together: {error}")


def _unfit(check: Check, error: duckdb.Error) -> InvalidCheckError:
    return InvalidCheckError(
        f"{check.title} does not fit its columns: {error} Compare numbers with numbers and text with text."
    )


def _measured(
    check: Check, found: list[float | None], rows: Table, connection: duckdb.DuckDBPyConnection
) -> list[float | None]:
    if check.kind == "python":
        return [_wrong(check, check_functions.find(check.function)(rows))]
    if check.kind != "sql":
        return found
    try:
        answer = connection.execute(parse_sql(check)).fetchmany(2)
    except (duckdb.OutOfMemoryException, duckdb.InterruptException):
        raise
    except duckdb.Error as error:
        raise _unfit(check, error) from error
    if len(answer) != 1 or len(answer[0]) != 1 or isinstance(answer[0][0], bool | str | None):
        raise InvalidCheckError(f"{check.title} must return one number, how much is wrong.")
    return [float(answer[0][0])]


def _wrong(check: Check, answer: object) -> float:
    """Return how much a function found wrong."""
    if isinstance(answer, bool):
        return 0.0 if answer else 1.0
    if isinstance(answer, int | float) and 0 <= answer < math.inf:
        return float(answer)
    raise InvalidCheckError(
        f"{check.title} returned {type(answer).__name__}; return True, False or the number of what is wrong."
    )


def _refuse_unfit(suite: Suite, types: Mapping[str, str]) -> None:
    for check in suite.checks:
        wanted = _WANTED.get(check.kind)
        if wanted and not types[check.column].startswith(wanted):
            what = "times" if wanted is _TIMES else "numbers"
            raise InvalidCheckError(
                f"{check.title} does not fit its columns: it needs {what}, and {check.column} is of type {types[check.column]}."
            )


def _refuse_missing_columns(suite: Suite, rows: Table) -> None:
    known = rows.column_names
    for check in suite.checks:
        for name in columns_of(check):
            if name not in known:
                raise MissingColumnError(
                    f"suite {suite.name}: {check.title} needs a column the data does not have. {near(name, known)}",
                    subject=f"suite:{suite.name}",
                    details={"column": name, "columns": known},
                )
