"""One writer for SQLite with group commit: threads that write at the same time share one transaction.

A block runs under the writer's lock, in a savepoint when it is not the first of its group. When it ends while others
wait for the lock, the transaction stays open and the next block joins it; whoever finds nobody waiting commits for all.
A block returns only after the commit that holds it. Tests: tests/unit/kernel/test_catalog.py.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import sqlalchemy as sa

from everloop.kernel.catalog.errors import CatalogClosedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# A group is closed after this many blocks, so that the first of it does not wait for ever.
_LARGEST_GROUP = 256
# How long a waiting member trusts its leader before it commits the group itself.
_PATIENCE_S = 0.05


class _Group:
    """Blocks that will be committed together."""

    def __init__(self, transaction: sa.RootTransaction) -> None:
        self.transaction = transaction
        self.size = 0
        self.is_durable = False
        self.done = threading.Event()
        self.error: BaseException | None = None


class GroupCommit:
    """Runs write blocks of any thread on one connection."""

    def __init__(self, engine: sa.Engine, committed: Callable[[str], None]) -> None:
        self._engine = engine
        self._connection = engine.connect()
        self._committed = committed
        self._lock = threading.Lock()
        self._counter = threading.Lock()
        self._waiting = 0
        self._group: _Group | None = None
        file = engine.url.database or ""
        self._journal = f"{file}-wal"

    @contextmanager
    def transaction(self, *, durable: bool) -> Iterator[sa.Connection]:
        """Run one block; see the head of the file."""
        self._enter()
        group = None
        try:
            if self._connection.closed:
                raise CatalogClosedError(self._engine.url.database or "")
            group = self._group or self._open_group()
            savepoint = self._connection.begin_nested() if group.size else None
            try:
                yield self._connection
            except BaseException:
                self._undo(group, savepoint)
                raise
            if savepoint is not None:
                savepoint.commit()
            group.size += 1
            group.is_durable |= durable
        finally:
            try:
                self._settle()
            finally:
                self._lock.release()
        self._wait(group)

    def close(self) -> None:
        """Commit what is open and close the connection."""
        with self._lock:
            if not self._connection.closed:
                self._commit()
                self._connection.close()
        self._engine.dispose()

    def _enter(self) -> None:
        with self._counter:
            self._waiting += 1
        try:
            self._lock.acquire()
        finally:
            with self._counter:
                self._waiting -= 1

    def _open_group(self) -> _Group:
        self._group = _Group(self._connection.begin())
        return self._group

    def _undo(self, group: _Group, savepoint: sa.NestedTransaction | None) -> None:
        if savepoint is not None and group.transaction.is_active:
            # A full disk makes SQLite drop the whole transaction, savepoints and all.
            with suppress(sa.exc.DBAPIError):
                savepoint.rollback()
                return
        # First of the group, or the whole transaction is lost (disk full): nobody's work may be half kept.
        group.transaction.rollback()
        self._group = None
        if group.size:
            group.error = sa.exc.InvalidRequestError(
                "the group's transaction was rolled back by a later failure"
            )
            group.done.set()

    def _settle(self) -> None:
        group = self._group
        if group is None:
            return
        if self._waiting and group.size < _LARGEST_GROUP:
            return
        self._commit()

    def _commit(self) -> None:
        group, self._group = self._group, None
        if group is None:
            return
        try:
            self._committed("before")
            group.transaction.commit()
            if group.is_durable:
                self._sync()
            self._committed("after")
        except BaseException as error:
            group.error = error
            if group.transaction.is_active:
                group.transaction.rollback()
            raise
        finally:
            group.done.set()

    def _sync(self) -> None:
        # synchronous=NORMAL leaves the journal unsynced; a durable block syncs the file itself (sync is per inode).
        try:
            journal = os.open(self._journal, os.O_RDONLY)
        except FileNotFoundError:
            return
        try:
            os.fsync(journal)
        finally:
            os.close(journal)

    def _wait(self, group: _Group | None) -> None:
        if group is None:
            return
        while not group.done.wait(_PATIENCE_S):
            with self._lock:
                if self._group is group:
                    self._commit()
        if group.error is not None:
            raise group.error
