"""DuckDB over tables: the one place of the stage that opens a connection.

Tests: tests/unit/data/test_sql.py.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import duckdb

from everloop.core.errors import InvalidInputError
from everloop.data.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

# A query runs beside training and serving; more threads cost them more than they save it.
_THREADS = min(4, os.cpu_count() or 1)


class QueryError(InvalidInputError):
    """DuckDB refused a query."""

    code = "data.query-failed"


def sql(query: str, **tables: Table) -> Table:
    """Return the result of a query in DuckDB's SQL over the given tables, as a table in memory.

    Each keyword is the name of a table in the query. Rows of a table come in its order; as in any SQL, only
    ORDER BY promises an order after joins and aggregates. Times are UTC.

    Raises:
        QueryError: the query is wrong; the message is DuckDB's.
    """
    with connect(**tables) as connection:
        try:
            return Table(arrow=connection.sql(query).to_arrow_table())
        except duckdb.Error as error:
            names = ", ".join(sorted(tables)) or "none"
            raise QueryError(f"{error} Tables in this query: {names}.", subject=query[:200]) from error


@contextmanager
def connect(**tables: Table) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a private in-memory DuckDB with the tables as views."""
    settings: dict[str, str | bool | int | float | list[str]] = {
        "threads": _THREADS,
        "autoinstall_known_extensions": False,
    }
    connection = duckdb.connect(":memory:", config=settings)
    try:
        connection.execute("SET TimeZone = 'UTC'")
        for name, table in tables.items():
            _make_view(connection, name, table)
        yield connection
    finally:
        connection.close()


def quote(name: str) -> str:
    """Return an identifier for SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: object) -> str:
    """Return a value for SQL."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float):
        return repr(value)
    return "'" + str(value).replace("'", "''") + "'"


def _make_view(connection: duckdb.DuckDBPyConnection, name: str, table: Table) -> None:
    paths = table.paths()
    if not paths:
        connection.register(name, table.to_arrow())
        return
    files = ", ".join(literal(path) for path in paths)
    connection.execute(f"CREATE VIEW {quote(name)} AS SELECT * FROM read_parquet([{files}])")
