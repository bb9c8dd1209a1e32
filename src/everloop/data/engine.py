"""DuckDB over tables: the one place of the stage that opens a connection.

Tests: tests/unit/data/test_table.py.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import duckdb

from everloop.core.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

# A query runs beside training and serving; more threads cost them more than they save it.
_THREADS = min(4, os.cpu_count() or 1)


class QueryError(InvalidInputError):
    """DuckDB refused a query."""

    code = "data.query-failed"


class Source(Protocol):
    """A table as far as a query needs it: stored parts, or rows in memory."""

    def paths(self) -> list[Path]:
        """Return local files of the stored parts, in order."""
        ...

    def to_arrow(self) -> pa.Table:
        """Return the rows, for a table that is not stored."""
        ...


def run_query(query: str, **tables: Source) -> pa.Table:
    """Return the result of a query over tables named by keyword.

    Raises:
        QueryError: the query is wrong; the message is DuckDB's.
    """
    with connect(**tables) as connection:
        try:
            found: pa.Table = connection.sql(query).to_arrow_table()
        except duckdb.Error as error:
            names = ", ".join(sorted(tables)) or "none"
            raise QueryError(f"{error} Tables in this query: {names}.", subject=query[:200]) from error
        return found


@contextmanager
def connect(**tables: Source) -> Iterator[duckdb.DuckDBPyConnection]:
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


def _make_view(connection: duckdb.DuckDBPyConnection, name: str, table: Source) -> None:
    paths = table.paths()
    if not paths:
        connection.register(name, table.to_arrow())
        return
    files = ", ".join(literal(path) for path in paths)
    connection.execute(f"CREATE VIEW {quote(name)} AS SELECT * FROM read_parquet([{files}])")
