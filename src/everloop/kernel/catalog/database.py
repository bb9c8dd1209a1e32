"""Open the catalog and run transactions on it; the two databases differ here and nowhere else.

SQLite has one writer per process with group commit (see `writer.py`) and any number of readers on WAL snapshots.
PostgreSQL has a pool. A block inside a block of the same thread joins the outer transaction. Tests: tests/unit/kernel/test_catalog.py, tests/chaos.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from everloop.core.clock import from_microseconds
from everloop.core.errors import InvalidInputError, MissingExtraError
from everloop.kernel.catalog import migrate
from everloop.kernel.catalog.errors import CatalogClosedError, translate
from everloop.kernel.catalog.writer import GroupCommit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

BUSY_TIMEOUT_S = 30.0
# Milliseconds are what every SQLite gives (2440587.5 is the Julian day of 1970).
_SQLITE_NOW = sa.text("SELECT CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000")
_POSTGRESQL_NOW = sa.text("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)")


class InvalidCatalogUrlError(InvalidInputError):
    """The catalog's URL names a database we do not speak."""

    code = "catalog.invalid-url"


class Catalog:
    """The metadata database.

    Threads may share one catalog. A process that forks must open its own.

    Attributes:
        on_commit: called with "before" and "after" around each commit; for fault injection and live readers.
        is_closed: whether `close` was called.
    """

    def __init__(self, url: str, *, backups: Path | None = None) -> None:
        self._url = sa.make_url(_with_driver(url))
        self.place = self._url.render_as_string(hide_password=True)
        self.on_commit: list[Callable[[str], None]] = []
        self._current = threading.local()
        self.is_closed = False
        try:
            self._open(backups)
        except DBAPIError as error:
            raise translate(error, self.place) or error from error

    @property
    def dialect(self) -> str:
        """Return `sqlite` or `postgresql`."""
        return self._url.get_backend_name()

    def _open(self, backups: Path | None) -> None:
        if self.dialect == "sqlite":
            self._readers, writer = _open_sqlite(self._url)
            self._migrate(writer, backups)
            self._writer: GroupCommit | None = GroupCommit(writer, self._committed)
        else:
            self._readers = _open_postgresql(self._url)
            self._migrate(self._readers, backups)
            self._writer = None

    def _migrate(self, engine: sa.Engine, backups: Path | None) -> None:
        try:
            migrate.bring_up_to_date(engine, self.place, backups)
        except BaseException:
            engine.dispose()
            self._readers.dispose()
            raise

    @contextmanager
    def transaction(self, *, durable: bool = False) -> Iterator[sa.Connection]:
        """Open a write transaction; commit when the block ends, roll back when it raises.

        Args:
            durable: wait until the commit is on the disk (SQLite syncs only then; PostgreSQL always does).

        Raises:
            DiskFullError, CatalogUnavailableError: as named; nothing was written.
        """
        outer: sa.Connection | None = getattr(self._current, "connection", None)
        if outer is not None:
            yield outer
            return
        self._refuse_closed()
        try:
            with self._begin(durable=durable) as connection:
                self._current.connection = connection
                try:
                    yield connection
                finally:
                    self._current.connection = None
        except DBAPIError as error:
            known = translate(error, self.place)
            if known is None:
                raise
            raise known from error

    @contextmanager
    def _begin(self, *, durable: bool) -> Iterator[sa.Connection]:
        if self._writer is not None:
            with self._writer.transaction(durable=durable) as connection:
                yield connection
            return
        with self._readers.connect() as connection:
            yield connection
            self._committed("before")
            connection.commit()
        self._committed("after")

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Open a read snapshot; inside a write block of this thread it is the block's own connection."""
        outer: sa.Connection | None = getattr(self._current, "connection", None)
        if outer is not None:
            yield outer
            return
        self._refuse_closed()
        with self._readers.connect() as connection:
            yield connection

    def _refuse_closed(self) -> None:
        if self.is_closed:
            raise CatalogClosedError(self.place)

    @property
    def is_in_transaction(self) -> bool:
        """Return whether this thread is inside a write block."""
        return getattr(self._current, "connection", None) is not None

    def now(self, connection: sa.Connection) -> datetime:
        """Return the time of the database's clock, which all processes share; for leases and fences."""
        statement = _SQLITE_NOW if self._writer is not None else _POSTGRESQL_NOW
        return from_microseconds(int(connection.execute(statement).scalar_one()))

    def close(self) -> None:
        """Close every connection; what is asked of the catalog afterwards is refused with CatalogClosedError."""
        self.is_closed = True
        if self._writer is not None:
            self._writer.close()
        # A connection that another thread still uses comes back to a pool that nobody empties any more.
        sa.event.listen(self._readers.pool, "checkin", _close_returned)
        self._readers.dispose()

    def _committed(self, moment: str) -> None:
        for listener in self.on_commit:
            listener(moment)


def _close_returned(connection: object, record: sa.pool.ConnectionPoolEntry) -> None:
    del connection
    record.close()


def _with_driver(url: str) -> str:
    if url.startswith(("postgresql://", "postgres://")):
        try:
            import psycopg  # noqa: F401 - presence check
        except ImportError as error:
            raise MissingExtraError(
                'the catalog is on PostgreSQL, whose driver is not installed. Run: pip install "everloop[postgres]"'
            ) from error
        return "postgresql+psycopg://" + url.split("://", 1)[1]
    if url.startswith(("sqlite:///", "postgresql+psycopg://")):
        return url
    raise InvalidCatalogUrlError(
        f"{url.split('://', 1)[0]}:// is not a catalog we speak. Use sqlite:///path/to/file.db or postgresql://user@host/database."
    )


def _open_sqlite(url: sa.URL) -> tuple[sa.Engine, sa.Engine]:
    Path(url.database or "").parent.mkdir(parents=True, exist_ok=True)
    options = {"timeout": BUSY_TIMEOUT_S, "check_same_thread": False}
    # The write-ahead journal must be in force before anyone reads, so the writer opens first.
    writer = sa.create_engine(url, connect_args=options, poolclass=sa.pool.StaticPool)
    readers = sa.create_engine(url, connect_args=options, pool_size=8, max_overflow=32)
    for engine, begin in ((writer, "BEGIN IMMEDIATE"), (readers, "BEGIN")):
        sa.event.listen(engine, "connect", _prepare_sqlite)
        sa.event.listen(engine, "begin", _beginner(begin))
    return readers, writer


def _beginner(statement: str) -> Callable[[sa.Connection], None]:
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(statement)

    return begin


def _prepare_sqlite(connection: sa.engine.interfaces.DBAPIConnection, record: object) -> None:
    del record
    connection.isolation_level = None  # sqlite3's own: we emit BEGIN ourselves
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "foreign_keys=ON",
        "temp_store=MEMORY",
        "cache_size=-32000",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _open_postgresql(url: sa.URL) -> sa.Engine:
    return sa.create_engine(
        url, pool_size=8, max_overflow=24, pool_pre_ping=True, connect_args={"connect_timeout": 10}
    )
