"""A database through ADBC: Arrow batches come from the driver as they are."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from everloop.data.connectors.errors import SourceQueryError, SourceUnavailableError
from everloop.data.contents import UnsupportedTypeError, refuse_bad_names
from everloop.data.engine import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from everloop.data.connectors.sql_database import Cursor, Database

# PostgreSQL's types, also as arrays, that ADBC and SQLAlchemy read alike.
_KNOWN_TYPES = {
    "bool", "bytea", "int2", "int4", "int8", "float4", "float8", "numeric", "text", "varchar", "bpchar", "name",
    "date", "time", "timestamp", "timestamptz", "json", "jsonb",
}  # fmt: skip


def postgres_driver() -> Callable[[str], AdbcDatabase] | None:
    """Return what opens a PostgreSQL address, or None when the driver is not installed."""
    try:
        import adbc_driver_postgresql.dbapi as driver
    except ImportError:
        return None

    def open_url(url: str) -> AdbcDatabase:
        import sqlalchemy as sa

        from everloop.data.connectors.sql_alchemy import open_database, shown

        return AdbcDatabase(
            lambda: driver.connect(url),
            description=shown(sa.make_url(url)),
            otherwise=lambda: open_database(url),
        )

    return open_url


class AdbcDatabase:
    """See `Database`.

    Args:
        source: an open connection, which stays open, or what opens one.
        description: names the database in messages, without secrets.
        otherwise: opens the database another way, for a result with types that drivers read differently.
    """

    def __init__(
        self,
        source: Any,  # noqa: ANN401 - of any driver
        *,
        description: str = "the ADBC connection",
        otherwise: Callable[[], Database] | None = None,
    ) -> None:
        self.description = description
        self._source = source
        self._otherwise = otherwise

    def read(
        self, query: str, *, cursor_column: str | None, after: Cursor | None, batch_rows: int
    ) -> Iterator[pa.Table]:
        """Yield the rows; the driver decides how many at once."""
        statement = _statement(query, cursor_column, after)
        with self._connected() as connection, self._refusing(), connection.cursor() as cursor:
            cursor.execute(statement(connection), None if after is None else (after,))
            with cursor.fetch_record_batch() as reader:
                refuse_bad_names(reader.schema.names)
                foreign = _foreign_column(reader.schema)
                if foreign is None:
                    yield _plain(reader.schema.empty_table())
                    for batch in reader:
                        yield _plain(pa.Table.from_batches([batch]))
                    return
        yield from self._read_otherwise(foreign).read(
            query, cursor_column=cursor_column, after=after, batch_rows=batch_rows
        )

    def _read_otherwise(self, column: str) -> Database:
        if self._otherwise is None:
            raise UnsupportedTypeError(
                f"column {column} has a type of PostgreSQL that Arrow does not know. Cast it to text in the query.",
                subject=column,
            )
        return self._otherwise()

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        if not callable(self._source):
            yield self._source
            return
        import adbc_driver_manager as adbc

        try:
            opened = self._source()
        except adbc.Error as error:
            raise SourceUnavailableError(
                f"{self.description} does not answer: {_told(error)}. Check its address and credentials.",
                subject=self.description,
            ) from error
        with opened as connection:
            yield connection

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        import adbc_driver_manager as adbc

        try:
            yield
        except (adbc.Error, pa.ArrowException, OSError) as error:
            raise SourceQueryError(
                f"{self.description} refuses the query: {_told(error)}. Mend the query.",
                subject=self.description,
            ) from error


def _statement(query: str, cursor_column: str | None, after: Cursor | None) -> Callable[[Any], str]:
    text = query.strip().rstrip(";")
    if cursor_column is None:
        return lambda _: text
    name = quote(cursor_column)
    rows = f"SELECT * FROM ({text}) AS everloop_rows"
    if after is None:
        return lambda _: f"{rows} ORDER BY {name}"
    return lambda connection: f"{rows} WHERE {name} > {_mark(connection)} ORDER BY {name}"


def _mark(connection: Any) -> str:  # noqa: ANN401
    """Return how the driver marks a value to bind."""
    return "$1" if connection.adbc_get_info().get("vendor_name") == "PostgreSQL" else "?"


def _foreign_column(schema: pa.Schema) -> str | None:
    """Return a column of a PostgreSQL type that the drivers do not read alike, if there is one."""
    for field in schema:
        kind = (field.metadata or {}).get(b"POSTGRESQL:type")
        if kind is not None and kind.decode().removeprefix("_") not in _KNOWN_TYPES:
            return field.name
        if kind == b"_numeric":
            return field.name
    return None


def _plain(table: pa.Table) -> pa.Table:
    """Return the columns without what only ADBC says of them; PostgreSQL's numeric comes as text."""
    for index, field in enumerate(table.schema):
        column: Any = table.column(index)
        kind: Any = field.type
        if isinstance(kind, pa.BaseExtensionType):
            storage: Any = kind.storage_type
            column = pa.chunked_array([chunk.storage for chunk in column.chunks], storage)
        if (field.metadata or {}).get(b"POSTGRESQL:type") == b"numeric":
            column = column.cast(pa.float64())
        table = table.set_column(index, field.name, column)
    return table.replace_schema_metadata(None)


def _told(error: Exception) -> str:
    return " ".join(str(error).split())
