"""Garbage collection: what no root refers to goes after a grace period; packs mostly dead are rewritten.

Safe beside running writers: a row goes only when nobody has put or kept the object within the grace period,
checked in the transaction that removes it, and the file goes after the row. Because no file name is used
twice, a late deletion hits nothing new. A grace period shorter than a transaction may last would not protect what a
transaction that is still open refers to; then the roots are read again in the transaction that removes.
Tests: tests/unit/kernel/objects/test_collection.py, tests/property/test_retention.py.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from everloop.core.digests import Digest, digest_bytes
from everloop.core.durations import format_duration
from everloop.kernel.objects import packs, tables
from everloop.kernel.objects.links import list_of
from everloop.kernel.objects.store import FOLDER, check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    import sqlalchemy as sa

    from everloop.kernel.objects.store import ObjectStore
    from everloop.kernel.objects.tables import Location

    Roots = Callable[[sa.Connection], Iterable[tuple[Digest, str]]]

DEFAULT_GRACE = timedelta(days=14)
# A pack is rewritten when less than this share of its bytes is alive.
_ALIVE = 0.5
# No transaction that keeps objects lasts longer; it writes one version.
_LONGEST_TRANSACTION = timedelta(hours=1)


class KeptObject(msgspec.Struct, frozen=True, kw_only=True):
    """An object that stays, and why."""

    digest: str
    size_bytes: int
    why: str


class CollectionReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a collection removed, or would remove in a dry run.

    Attributes:
        trashed: what rules of retention moved into the trash; purged: what left it for good.
    """

    is_dry_run: bool
    removed: list[str]
    removed_bytes: int
    kept: list[KeptObject]
    kept_bytes: int
    packs_rewritten: int = 0
    freed_bytes: int = 0
    files_removed: list[str] = []
    trashed: list[str] = []
    purged: list[str] = []

    def kept_by_reason(self) -> dict[str, int]:
        """Return the bytes kept for each reason, most first."""
        counts: Counter[str] = Counter()
        for item in self.kept:
            counts[item.why] += item.size_bytes
        return dict(counts.most_common())


def collect(
    store: ObjectStore,
    roots: Iterable[tuple[Digest, str]],
    *,
    grace: timedelta = DEFAULT_GRACE,
    dry_run: bool = False,
    stray_files: bool = False,
) -> CollectionReport:
    """Remove the objects that no root of a fixed list refers to; see `collect_beside_writers`."""
    fixed = list(roots)
    return collect_beside_writers(
        store, lambda _: fixed, grace=grace, dry_run=dry_run, stray_files=stray_files
    )


def collect_beside_writers(
    store: ObjectStore,
    roots: Roots,
    *,
    grace: timedelta = DEFAULT_GRACE,
    dry_run: bool = False,
    stray_files: bool = False,
) -> CollectionReport:
    """Remove the objects that no root refers to, whatever is written meanwhile.

    Args:
        store: the store.
        roots: reads the digests in use, each with the reason that a user sees.
        grace: how long an object that nothing refers to yet is left alone.
        dry_run: only report.
        stray_files: also remove files without a row (left by killed writers) that are older than the grace
            period; only for a store that no other catalog uses.
    """
    with store.catalog.read() as connection:
        # Before the roots: what is put after they are read is younger than the cutoff, however short the grace.
        cutoff = store.catalog.now(connection) - grace
        why = dict(roots(connection))
        everything = [row for page in tables.pages(connection) for row in page]
    doomed = [place for place, touched in everything if place.digest not in why and touched <= cutoff]
    young = f"put within the grace period of {format_duration(grace)}"
    again = roots if grace < _LONGEST_TRANSACTION else None
    gone = {place.digest for place in doomed} if dry_run else _drop(store, doomed, cutoff, again)
    kept = [
        KeptObject(digest=place.digest, size_bytes=place.size, why=why.get(place.digest, young))
        for place, _ in everything
        if place.digest not in gone
    ]
    removed = [place for place in doomed if place.digest in gone]
    strays = _strays(store, cutoff) if stray_files else []
    freed, rewritten = (0, 0) if dry_run else _free(store, removed, strays)
    return CollectionReport(
        is_dry_run=dry_run,
        removed=[place.digest for place in removed],
        removed_bytes=sum(place.size for place in removed),
        kept=kept,
        kept_bytes=sum(item.size_bytes for item in kept),
        packs_rewritten=rewritten,
        freed_bytes=freed,
        files_removed=strays,
    )


def _drop(store: ObjectStore, doomed: list[Location], cutoff: datetime, again: Roots | None) -> set[Digest]:
    with store.catalog.transaction() as connection:
        gone = tables.drop(connection, [place.digest for place in doomed], untouched_since=cutoff)
        if gone and again is not None:
            # On PostgreSQL the removal has waited for the transactions that kept these rows; now they are seen.
            late = gone & {digest for digest, _ in again(connection)}
            tables.insert(
                connection, [place for place in doomed if place.digest in late], store.catalog.now(connection)
            )
            gone -= late
    store.forget(gone)
    return gone


def _free(store: ObjectStore, removed: list[Location], strays: list[str]) -> tuple[int, int]:
    loose = [place for place in removed if place.offset is None]
    store.files.delete([place.file for place in loose])
    store.files.delete(strays)
    freed = sum(place.size for place in loose)
    rewritten = 0
    for name in sorted({place.file for place in removed if place.offset is not None}):
        saved = _shrink(store, name)
        freed += saved
        rewritten += saved > 0
    return freed, rewritten


def _shrink(store: ObjectStore, name: str) -> int:
    """Rewrite a pack without its dead bytes when most are dead; return the bytes freed.

    Of linked objects only the store's hard links go; originals are never touched.
    """
    size = store.files.size(name)
    if size is None:
        return 0
    with store.catalog.read() as connection:
        alive = tables.in_file(connection, name)
    if name.startswith(tables.LINKS):
        store.links.shrink(name, alive)
        return 0
    if sum(place.size for place in alive) >= size * _ALIVE:
        return 0
    written = 0
    for pack in packs.fill_packs((place.digest, _checked(store, place)) for place in alive):
        pieces = pack.pieces()
        store.files.write(pack.name, pieces, durable=True)
        written += sum(map(packs.size_of, pieces))
        with store.catalog.transaction() as connection:
            tables.move(connection, name, pack.locations)
    store.files.delete([name])
    return size - written


def _checked(store: ObjectStore, place: Location) -> bytes:
    content = store.files.read(place.file, place.offset or 0, place.size)
    check(place.digest, digest_bytes(content))
    return content


def _strays(store: ObjectStore, cutoff: datetime) -> list[str]:
    names: defaultdict[str, datetime] = defaultdict()
    for folder in (FOLDER, packs.FOLDER, tables.LINKS):
        names.update((file.name, file.modified_at) for file in store.files.list(folder))
    with store.catalog.read() as connection:
        known = {place.file for page in tables.pages(connection) for place, _ in page}
    return sorted(
        name for name, modified in names.items() if list_of(name) not in known and modified <= cutoff
    )
