"""DuckDB over tables: the one place of the stage that opens a connection.

Tests: tests/unit/data/test_table.py.
"""

from __future__ import annotations

import os
import tempfile
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import duckdb
import pyarrow as pa

from everloop.core.errors import EverloopError, InvalidInputError
from everloop.data.parts import read_groups

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from everloop.data.parts import Piece

# A query runs beside training and serving; more threads cost them more than they save it.
_THREADS = min(4, os.cpu_count() or 1)
# Beyond this DuckDB works on the disk.
_MEMORY = "640MB"
# SQL that somebody else wrote is stopped after this long.
LONGEST_S = 600.0
_PIECE_ROWS = 131_072


class QueryError(InvalidInputError):
    """DuckDB refused a query."""

    code = "data.query-failed"


class QueryTooLargeError(EverloopError):
    """A query needs more memory than it may take, and cannot go on the disk."""

    code = "data.query-too-large"
    status = 507


class QueryTooLongError(EverloopError):
    """A query that somebody else wrote ran for too long."""

    code = "data.query-too-long"
    status = 507


class Source(Protocol):
    """A table as far as a query needs it: stored parts, or rows in memory."""

    def pieces(self) -> list[Piece]:
        """Return the stored parts as local files, in order."""
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


def pieces_of(connection: duckdb.DuckDBPyConnection, query: str) -> Iterator[pa.Table]:
    """Yield the result of a query in pieces, the first of them empty, so that its columns are known."""
    with connection.sql(query).to_arrow_reader(_PIECE_ROWS) as reader:
        yield reader.schema.empty_table()
        for batch in reader:
            yield pa.Table.from_batches([batch])


def stream_query(query: str, **tables: Source) -> Iterator[pa.Table]:
    """Yield the result of a query in pieces, the first of which may be empty; for results that are too many for the memory.

    Raises:
        QueryError: the query is wrong; the message is DuckDB's.
    """
    with connect(**tables) as connection:
        try:
            yield from pieces_of(connection, query)
        except duckdb.OutOfMemoryException:
            raise
        except duckdb.Error as error:
            names = ", ".join(sorted(tables)) or "none"
            raise QueryError(f"{error} Tables in this query: {names}.", subject=query[:200]) from error


@contextmanager
def connect(**tables: Source) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a private in-memory DuckDB with the tables as views."""
    with _open(tables) as (connection, _):
        yield connection


@contextmanager
def connect_locked(**tables: Source) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open one for SQL that somebody else wrote: it reads these tables, no other file, address or variable, and ends."""
    with _open(tables) as (connection, files):
        connection.execute(f"SET allowed_paths = [{', '.join(map(literal, files))}]")
        connection.execute("SET python_enable_replacements = false")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        stop = threading.Timer(LONGEST_S, connection.interrupt)
        stop.daemon = True
        stop.start()
        try:
            yield connection
        except duckdb.InterruptException as error:
            raise QueryTooLongError(
                f"a query over {', '.join(sorted(tables))} ran for more than {LONGEST_S:g} s and was stopped. Ask for less at once.",
            ) from error
        finally:
            stop.cancel()


@contextmanager
def _open(tables: Mapping[str, Source]) -> Iterator[tuple[duckdb.DuckDBPyConnection, list[str]]]:
    """Open a connection; give it with the files behind its views."""
    settings: dict[str, str | bool | int | float | list[str]] = {
        "threads": _THREADS,
        "autoinstall_known_extensions": False,
        "memory_limit": _MEMORY,
        "temp_directory": os.path.join(tempfile.gettempdir(), f"everloop-duckdb-{os.getpid()}"),  # noqa: PTH118 - text for DuckDB
    }
    connection = duckdb.connect(":memory:", config=settings)
    try:
        connection.execute("SET TimeZone = 'UTC'")
        files = [file for name, table in tables.items() for file in _make_view(connection, name, table)]
        yield connection, files
    except duckdb.OutOfMemoryException as error:
        raise QueryTooLargeError(
            f"a query over {', '.join(sorted(tables)) or 'tables'} needs more than {_MEMORY} of memory. Ask for fewer columns or "
            "distinct values at once, or free space for temporary files.",
        ) from error
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


def scan_of(
    connection: duckdb.DuckDBPyConnection, pieces: Sequence[Piece], *, name: str, place: str = ""
) -> str:
    """Return the SQL that reads the live rows of parts.

    Args:
        connection: where deleted positions are registered, as tables whose names begin with `name`.
        pieces: the parts.
        name: the name of the table.
        place: adds a column of this name with each row's place: its position plus the rows of the parts before it.
    """
    selects, start, whole = [], 0, list[str]()
    for at, piece in enumerate(pieces):
        file = literal(piece.path)
        if piece.only is not None and not place:
            # Rows at known places are read by these, rather than by hiding all others from a scan.
            found = pa.concat_tables([rows for _, rows in read_groups(piece)])
            connection.register(f"{name}_only_{at}", found)
            selects.append(f"SELECT * FROM {quote(f'{name}_only_{at}')}")
        elif not len(piece.deleted) and not place:
            whole.append(file)
        else:
            selects += [f"SELECT * FROM read_parquet([{', '.join(whole)}])"] * bool(whole)
            whole = []
            selects.append(_scan_of_piece(connection, piece, f"{name}_deleted_{at}", place, start))
        start += piece.part.rows
    selects += [f"SELECT * FROM read_parquet([{', '.join(whole)}])"] * bool(whole)
    return " UNION ALL ".join(selects)


def _scan_of_piece(
    connection: duckdb.DuckDBPyConnection, piece: Piece, name: str, place: str, start: int
) -> str:
    shown = f", file_row_number + {start} AS {quote(place)}" if place else ""
    select = f"SELECT * EXCLUDE (file_row_number){shown} FROM read_parquet({literal(piece.path)}, file_row_number=true)"
    if not len(piece.deleted):
        return select
    connection.register(name, pa.table({"deleted": piece.deleted}))
    return f"{select} ANTI JOIN {quote(name)} ON file_row_number = deleted"


def _make_view(connection: duckdb.DuckDBPyConnection, name: str, table: Source) -> list[str]:
    """Make a view and return the files it reads."""
    pieces = table.pieces()
    if not pieces:
        connection.register(name, table.to_arrow())
        return []
    connection.execute(f"CREATE VIEW {quote(name)} AS {scan_of(connection, pieces, name=name)}")
    return [str(piece.path) for piece in pieces]
