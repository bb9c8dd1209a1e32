"""A database through SQLAlchemy: rows are fetched in batches with a cursor of the server.

Types are those that PostgreSQL states; of other databases those that the values show.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pyarrow as pa
import sqlalchemy as sa

from everloop.core.errors import MissingExtraError
from everloop.data.connectors.errors import (
    MixedTypesError,
    SourceNotFoundError,
    SourceQueryError,
    SourceUnavailableError,
    UnsupportedSourceError,
)
from everloop.data.connectors.sql_values import declared_types, plain
from everloop.data.contents import refuse_bad_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from everloop.data.connectors.sql_database import Cursor


def open_database(source: Any) -> AlchemyDatabase:  # noqa: ANN401 - a URL, engine, connection of SQLAlchemy or sqlite3
    """Return the database of a URL, of an engine or of an open connection."""
    if isinstance(source, str):
        url = _url(source)
        return AlchemyDatabase(_engine(url).connect, shown(url))
    if isinstance(source, sqlite3.Connection):
        engine = sa.create_engine("sqlite://", creator=lambda: source, poolclass=sa.pool.StaticPool)
        return AlchemyDatabase(engine.connect, "the SQLite connection")
    if isinstance(source, sa.Engine):
        return AlchemyDatabase(source.connect, shown(source.url))
    if isinstance(source, sa.Connection):
        return AlchemyDatabase(lambda: nullcontext(source), shown(source.engine.url))
    raise UnsupportedSourceError(
        f"a {type(source).__name__} of SQLAlchemy runs no query. Give an engine or a connection."
    )


class AlchemyDatabase:
    """See `Database`."""

    def __init__(
        self, connect: Callable[[], AbstractContextManager[sa.Connection]], description: str
    ) -> None:
        self.description = description
        self._connect = connect

    def read(
        self, query: str, *, cursor_column: str | None, after: Cursor | None, batch_rows: int
    ) -> Iterator[pa.Table]:
        """Yield the rows."""
        statement = _statement(query, cursor_column, after)
        with self._connected() as connection, self._refusing():
            result = connection.execution_options(yield_per=batch_rows).execute(statement)
            names = list(result.keys())
            refuse_bad_names(names)
            types = declared_types(result.cursor, len(names))
            yield _table(names, types, [])
            for rows in result.partitions(batch_rows):
                yield _table(names, types, rows)

    @contextmanager
    def _connected(self) -> Iterator[sa.Connection]:
        try:
            opened = self._connect()
        except sa.exc.DBAPIError as error:
            raise SourceUnavailableError(
                f"{self.description} does not answer: {_told(error)}. Check its address and credentials.",
                subject=self.description,
            ) from error
        with opened as connection:
            yield connection

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.SQLAlchemyError as error:
            raise SourceQueryError(
                f"{self.description} refuses the query: {_told(error)}. Mend the query.",
                subject=self.description,
            ) from error


def shown(url: sa.URL) -> str:
    """Return an address without user and password."""
    host = f"{url.host or ''}{f':{url.port}' if url.port else ''}"
    return f"{url.get_backend_name()}://{host}/{url.database or ''}"


def _statement(query: str, cursor_column: str | None, after: Cursor | None) -> sa.sql.base.Executable:
    # SQLAlchemy reads `:name` as a parameter; the query has none.
    text = query.strip().rstrip(";").replace(":", r"\:")
    if cursor_column is None:
        return sa.text(text)
    column: sa.ColumnClause[Any] = sa.column(cursor_column)
    rows = sa.text(f"({text}) AS everloop_rows")
    statement = sa.select(sa.text("*")).select_from(rows).order_by(column)
    return statement if after is None else statement.where(column > sa.literal(after))


def _table(names: list[str], types: list[Any], rows: Any) -> pa.Table:  # noqa: ANN401 - rows of SQLAlchemy
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    arrays = [_array(name, kind, values) for name, kind, values in zip(names, types, columns, strict=True)]
    return pa.Table.from_arrays(arrays, names=names)


def _array(name: str, kind: Any, values: tuple[Any, ...]) -> Any:  # noqa: ANN401 - an Arrow type, an Arrow array
    try:
        return pa.array([plain(value, kind) for value in values], type=kind if values or kind else pa.null())
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        raise MixedTypesError(
            f"column {name} of the query holds mixed types: {error}. Give it one type, for example CAST({name} AS TEXT).",
            subject=name,
            details={"column": name},
        ) from error


def _url(source: str) -> sa.URL:
    try:
        url = sa.make_url(source)
    except sa.exc.ArgumentError as error:
        raise UnsupportedSourceError(
            "the address of the database is none. Give one like postgresql://user@host/database or sqlite:///file.db."
        ) from error
    return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url


def _engine(url: sa.URL) -> sa.Engine:
    if url.get_backend_name() == "sqlite" and url.database:
        return sa.create_engine(url, creator=_sqlite_reader(Path(url.database)), poolclass=sa.pool.NullPool)
    try:
        engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    except (ModuleNotFoundError, sa.exc.NoSuchModuleError) as error:
        wanted = (
            '"everloop[postgres]"'
            if url.get_backend_name() == "postgresql"
            else f"the driver of {url.drivername}"
        )
        raise MissingExtraError(
            f"{shown(url)} needs a driver that is not installed ({error}). Run: pip install {wanted}"
        ) from error
    if url.drivername == "postgresql+psycopg":
        sa.event.listen(engine, "connect", _keep_json)
    return engine


def _keep_json(connection: Any, record: object) -> None:  # noqa: ANN401 - a psycopg connection
    """Let JSON values stay the text that they are in the database."""
    del record
    from psycopg.types.json import set_json_loads

    set_json_loads(lambda value: value if isinstance(value, str) else bytes(value).decode(), connection)


def _sqlite_reader(path: Path) -> Callable[[], sqlite3.Connection]:
    """Return what opens an existing SQLite file for reading; sqlite3 itself would make an empty one."""
    if not path.is_file():
        raise SourceNotFoundError(f"there is no database {path}. Check the path.", subject=str(path))
    address = f"file:{quote(str(path.absolute()))}?mode=ro"
    # A stream may be opened in one thread and read in another, never in two at once.
    return lambda: sqlite3.connect(address, uri=True, check_same_thread=False)


def _told(error: sa.exc.SQLAlchemyError) -> str:
    """Return the database's own words, without the statement and its values."""
    return " ".join(str(getattr(error, "orig", None) or error).split())
