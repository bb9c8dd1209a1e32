"""Rows of a SQL query, in batches from the server; incrementally, by a column that only grows.

PostgreSQL is read through ADBC when the extra `adbc` is installed, else through SQLAlchemy with a cursor of the
server; both give the same types. Every other database that SQLAlchemy knows works with its driver installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from everloop.data.connectors.conforming import ConformingStream
from everloop.data.connectors.errors import SourceQueryError, UnsupportedSourceError
from everloop.data.connectors.protocol import PIECE_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from everloop.data.connectors.sql_database import Cursor, Database


class SqlStream(ConformingStream):
    """The rows of a query; see `SourceStream`. The query runs once for each reading.

    Attributes:
        cursor: the highest value of the cursor column once every row was read, before that what `after` was;
            keep it and pass it as `after` next time.
    """

    def __init__(
        self,
        database: Database,
        query: str,
        *,
        cursor_column: str | None,
        after: Cursor | None,
        batch_rows: int,
    ) -> None:
        self.cursor = after
        self._database = database
        self._query = query
        self._cursor_column = cursor_column
        self._after = after
        self._batch_rows = batch_rows
        super().__init__(f"the query on {database.description}", self._run, is_repeatable=True)

    def _run(self) -> Iterator[pa.Table]:
        last = self.cursor = self._after
        rows = self._database.read(
            self._query, cursor_column=self._cursor_column, after=self._after, batch_rows=self._batch_rows
        )
        for table in rows:
            if self._cursor_column and table.num_rows:
                last = self._last(table)
            yield table
        self.cursor = last

    def _last(self, table: pa.Table) -> Cursor:
        column = table.column(str(self._cursor_column))
        if column.null_count:
            raise SourceQueryError(
                f"the cursor column {self._cursor_column} has missing values; a row without one would be read now and never again. "
                "Use a column that is always set, or leave such rows out in the query.",
                subject=self._cursor_column or "",
            )
        value: Cursor = column[-1].as_py()
        return value


def sql_query(
    connection: Any,  # noqa: ANN401 - a URL, or a connection of SQLAlchemy, ADBC or sqlite3
    query: str,
    *,
    cursor_column: str | None = None,
    after: Cursor | None = None,
    batch_rows: int = PIECE_ROWS,
) -> SqlStream:
    """Open the rows of a query; give the result to `add`, or read its batches.

    Args:
        connection: `postgresql://user@host/database`, `sqlite:///file.db` or another URL of SQLAlchemy; an engine
            or connection of SQLAlchemy; a connection of an ADBC driver; a `sqlite3.Connection`. A connection stays
            open, and is not to be used for other things while rows are read.
        query: a SELECT. PostgreSQL's `numeric` is read as a double; cast it to text to keep every digit.
        cursor_column: a column of the result that only grows: a running number, a time of insertion. Two rows
            with the same value must not be written at different times, or the second is missed.
        after: only rows with a higher value of the cursor column, as `SqlStream.cursor` of the last time.
        batch_rows: rows fetched at once.

    Raises:
        SourceUnavailableError: the database does not answer.
        SourceQueryError: it refuses the query.
        MixedTypesError: a column holds values of several types, as SQLite allows.
        UnsupportedSourceError: `connection` is none of these.
    """
    if after is not None and cursor_column is None:
        raise SourceQueryError("after= was given without cursor_column=. Say which column it is a value of.")
    return SqlStream(
        _open(connection), query, cursor_column=cursor_column, after=after, batch_rows=batch_rows
    )


def _open(connection: Any) -> Database:  # noqa: ANN401 - as above
    library = type(connection).__module__.partition(".")[0]
    if library.startswith("adbc_driver"):
        from everloop.data.connectors.sql_adbc import AdbcDatabase

        return AdbcDatabase(connection)
    if isinstance(connection, str) and connection.startswith("postgresql://"):
        from everloop.data.connectors.sql_adbc import postgres_driver

        driver = postgres_driver()
        if driver is not None:
            return driver(connection)
    if isinstance(connection, str) or library in {"sqlalchemy", "sqlite3"}:
        from everloop.data.connectors.sql_alchemy import open_database

        return open_database(connection)
    raise UnsupportedSourceError(
        f"a {type(connection).__name__} is no database. Give a URL, an engine or connection of SQLAlchemy, "
        "a connection of an ADBC driver, or a sqlite3.Connection."
    )
