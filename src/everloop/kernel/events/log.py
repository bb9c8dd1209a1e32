"""Append events, read them in order, draw lineage edges.

An event is written in the transaction of the change it tells of. Its place in the chain is given by the sealer
(`chain.py`), within a second or before the next read, so that writers never queue for the chain. Readers see sealed
events only: their positions have no gap and never change. Tests: tests/unit/kernel/test_events.py.
"""

from __future__ import annotations

import threading
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from everloop.core.actors import current_actor
from everloop.core.digests import canonical_json
from everloop.core.ids import new_id
from everloop.kernel.events import chain
from everloop.kernel.events.tables import event, lineage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from everloop.core.clock import Clock
    from everloop.kernel.catalog import Catalog

_SEAL_AFTER_S = 0.5
# Made once: building the statement costs more than running it.
_APPEND = event.insert()


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One immutable fact."""

    position: int
    id: str
    time: datetime
    actor: str
    kind: str
    subject: str
    payload: dict[str, Any]
    hash: str


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """One edge of lineage: `source` did `verb` to bring forth `target`."""

    source: str
    verb: str
    target: str
    event: str


class EventLog:
    """The log of one catalog. Threads may share it."""

    def __init__(self, catalog: Catalog, clock: Clock) -> None:
        self._catalog = catalog
        self._clock = clock
        self._sealer: threading.Timer | None = None
        self._lock = threading.Lock()

    def append(
        self, connection: sa.Connection, *, kind: str, subject: str, payload: object | None = None
    ) -> str:
        """Append one event in the caller's transaction.

        Args:
            connection: the open write transaction of the change.
            kind: past tense with its stage, `dataset.versioned`.
            subject: `noun:name`, `dataset:flights@v3`.
            payload: a struct or dict of plain values; no secret and no row of data.

        Returns:
            The event's id.
        """
        identity = new_id()
        row = {
            "id": identity,
            "time": self._clock.now(),
            "actor": current_actor().name,
            "kind": kind,
            "subject": subject,
            "payload": canonical_json({} if payload is None else payload).decode(),
        }
        connection.execute(_APPEND, row)
        self._plan_sealing()
        return identity

    def link(self, connection: sa.Connection, *, source: str, verb: str, target: str, event: str) -> None:
        """Draw a lineage edge in the caller's transaction; one that exists stays as it is."""
        values = {"source": source, "verb": verb, "target": target, "event": event}
        known = sa.select(sa.literal(1)).where(
            lineage.c.source == source, lineage.c.verb == verb, lineage.c.target == target
        )
        if connection.execute(known).first() is None:
            connection.execute(lineage.insert().values(values))

    def read(
        self, *, after: int = 0, limit: int = 1000, kinds: Sequence[str] = (), subject: str = ""
    ) -> list[Event]:
        """Return sealed events after a position, in order.

        Args:
            after: the last position already seen; 0 reads from the first.
            limit: at most this many.
            kinds: only these kinds, when given.
            subject: only this subject, when given.
        """
        self.seal()
        query = sa.select(event).where(event.c.position > after).order_by(event.c.position).limit(limit)
        if kinds:
            query = query.where(event.c.kind.in_(list(kinds)))
        if subject:
            query = query.where(event.c.subject == subject)
        with self._catalog.read() as connection:
            return [_event(row) for row in connection.execute(query)]

    def last_position(self) -> int:
        """Return the position of the newest sealed event; 0 for an empty log."""
        self.seal()
        with self._catalog.read() as connection:
            return int(connection.execute(sa.select(sa.func.max(event.c.position))).scalar() or 0)

    def edges(self, subject: str) -> list[Edge]:
        """Return the lineage edges that touch a subject, in either direction."""
        query = sa.select(lineage).where(sa.or_(lineage.c.source == subject, lineage.c.target == subject))
        with self._catalog.read() as connection:
            return [Edge(**row._mapping) for row in connection.execute(query.order_by(lineage.c.event))]  # noqa: SLF001 - SQLAlchemy's public name

    def seal(self) -> int:
        """Give every committed event its place in the chain; return how many were sealed."""
        if self._catalog.is_in_transaction:
            return 0
        return chain.seal(self._catalog)

    def close(self) -> None:
        """Seal what is left."""
        with self._lock:
            timer, self._sealer = self._sealer, None
        if timer is not None:
            timer.cancel()
            timer.join()
        self.seal()

    def _plan_sealing(self) -> None:
        with self._lock:
            if self._sealer is None:
                self._sealer = threading.Timer(_SEAL_AFTER_S, self._seal_later)
                self._sealer.daemon = True
                self._sealer.start()

    def _seal_later(self) -> None:
        with self._lock:
            if self._sealer is not threading.current_thread():
                return
            self._sealer = None
        chain.seal_quietly(self._catalog)


def _event(row: sa.Row[Any]) -> Event:
    return Event(
        position=row.position,
        id=row.id,
        time=row.time,
        actor=row.actor,
        kind=row.kind,
        subject=row.subject,
        payload=msgspec.json.decode(row.payload),
        hash=row.hash,
    )
