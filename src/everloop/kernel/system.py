"""Verbs about the home itself: its state, its event log, its objects.

Tests: tests/unit/kernel/test_system.py, tests/integration/test_remote.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from everloop.core.durations import parse_duration
from everloop.core.errors import InvalidInputError
from everloop.kernel.events.chain import Checkpoint, Verification, sign_checkpoint, verify
from everloop.kernel.events.log import Edge, Event
from everloop.kernel.objects.collection import CollectionReport, collect_beside_writers
from everloop.kernel.objects.fsck import BareStore, FsckReport, check_store
from everloop.kernel.objects.store import ObjectStore
from everloop.kernel.operations import Service, operation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import sqlalchemy as sa

    from everloop.core.digests import Digest
    from everloop.kernel.operations import Kernel

    Roots = Callable[[sa.Connection], Iterable[tuple[Digest, str]]]
    # Called with whether it is a dry run; returns subjects that were put aside, and others that are gone for good.
    Expire = Callable[[bool], tuple[list[str], list[str]]]

_LARGEST_PAGE = 10_000


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a home in a few words."""

    version: str
    database: str
    clock: str
    events: int


class Remote(msgspec.Struct, frozen=True, kw_only=True):
    """An object store to repair from.

    Attributes:
        url: a folder or a URL of the object store.
        options: the store's options, by their names in its documentation.
    """

    url: str
    options: dict[str, str] = {}


class System(Service):
    """State, events and objects of the home.

    Args:
        kernel: of the home, or of its server.
        roots: for each stage, what its rows keep from being collected.
        expire: for each stage that deletes with a way back, what makes an end of that.
    """

    stage = "system"

    def __init__(self, kernel: Kernel, *, roots: Sequence[Roots] = (), expire: Sequence[Expire] = ()) -> None:
        super().__init__(kernel)
        self._roots = roots
        self._expire = expire

    @property
    def _store(self) -> ObjectStore:
        store = self.kernel.objects
        if not isinstance(store, ObjectStore):
            raise InvalidInputError("objects are collected and checked where the home is, not by a client.")
        return store

    @operation("GET /status", needs="system.read", cli="doctor")
    def status(self) -> Status:
        """Return the version, the database, the time and the length of the event log."""
        from everloop.core.version import VERSION

        return Status(
            version=VERSION,
            database=self.kernel.catalog.dialect,
            clock=self.kernel.clock.now().isoformat(),
            events=self.kernel.events.last_position(),
        )

    @operation("GET /events", needs="event.read", cli="events ls")
    def events(self, *, after: int = 0, limit: int = 100, kind: str = "", subject: str = "") -> list[Event]:
        """Return events in order.

        Args:
            after: the last position already seen.
            limit: at most this many, up to 10,000.
            kind: only this kind.
            subject: only this subject.
        """
        kinds = [kind] if kind else []
        return self.kernel.events.read(
            after=after, limit=min(limit, _LARGEST_PAGE), kinds=kinds, subject=subject
        )

    @operation("GET /events/verification", needs="event.verify", cli="events verify")
    def verify_events(self, *, against: Checkpoint | None = None) -> Verification:
        """Walk the hash chain and name the first event that was changed, moved or removed.

        Args:
            against: a checkpoint exported earlier; without one a cut-off end cannot be seen.
        """
        self.kernel.events.seal()
        return verify(self.kernel.catalog, against=against)

    @operation(
        "POST /events/checkpoints",
        needs="event.checkpoint",
        emits="event.checkpointed",
        cli="events checkpoint",
    )
    def checkpoint(self) -> Checkpoint:
        """Sign the end of the event log, so that a copy kept elsewhere proves what was there."""
        made = sign_checkpoint(
            self.kernel.catalog, self.kernel.clock, self.kernel.home / "keys" / "events.pem"
        )
        with self.kernel.catalog.transaction() as connection:
            self.emit(
                connection,
                subject=f"event:{made.position}",
                payload={"position": made.position, "hash": made.hash},
            )
        return made

    @operation("GET /lineage/{subject}", needs="event.read", cli="events lineage")
    def lineage(self, subject: str) -> list[Edge]:
        """Return what read and wrote a subject, `model:delays@v3`."""
        return self.kernel.events.edges(subject)

    @operation("POST /objects/collection", needs="object.collect", emits="object.collected", cli="gc")
    def collect_objects(self, *, grace: str = "14d", dry_run: bool = True) -> CollectionReport:
        """Purge what has been in the trash long enough, and remove the objects that nothing refers to.

        Rules of retention move versions into the trash on the way.

        Args:
            grace: how long an object that nothing refers to is left alone.
            dry_run: only report, with the reason for each object that stays.
        """
        ended = [expire(dry_run) for expire in self._expire]
        trashed, purged = (sorted(one for pair in ended for one in pair[side]) for side in (0, 1))
        going = set(purged)

        def roots(connection: sa.Connection) -> Iterator[tuple[Digest, str]]:
            for source in self._roots:
                for digest, why in source(connection):
                    # In a dry run what is to be purged is there still, and holds its objects.
                    if why.removeprefix("dataset:") not in going:
                        yield digest, why

        report = collect_beside_writers(self._store, roots, grace=parse_duration(grace), dry_run=dry_run)
        report = msgspec.structs.replace(report, trashed=trashed, purged=purged)
        if dry_run:
            self.unchanged()
            return report
        with self.kernel.catalog.transaction() as connection:
            payload = {
                "removed": len(report.removed),
                "removed_bytes": report.removed_bytes,
                "purged": len(purged),
            }
            self.emit(connection, subject="object:all", payload=payload)
        return report

    @operation("POST /objects/checks", needs="object.check", emits="object.checked", cli="fsck")
    def check_objects(self, *, quick: bool = False, repair_from: Remote | None = None) -> FsckReport:
        """Check that every object is there and has its digest.

        Args:
            quick: compare sizes only.
            repair_from: another store to fetch missing and damaged objects from.
        """
        source = None
        if repair_from is not None:
            staging = Path(self.kernel.home) / "cache" / "staging"
            source = BareStore(repair_from.url, staging=staging, options=repair_from.options)
        report = check_store(self._store, quick=quick, repair_from=source)
        with self.kernel.catalog.transaction() as connection:
            payload = {
                "checked": report.checked,
                "missing": len(report.missing),
                "corrupt": len(report.corrupt),
                "repaired": len(report.repaired),
            }
            self.emit(connection, subject="object:all", payload=payload)
        return report
