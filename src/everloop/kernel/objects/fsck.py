"""Check every object of a store, repair from another store, rebuild the rows from the files.

Tests: tests/unit/kernel/objects/test_fsck.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from everloop.core.digests import Digest, digest_bytes, digest_stream
from everloop.kernel.objects import packs, tables
from everloop.kernel.objects.files import open_files
from everloop.kernel.objects.links import ChangedOriginalError, is_link, list_of
from everloop.kernel.objects.packs import DamagedPackError
from everloop.kernel.objects.store import FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from everloop.kernel.objects.files import Files
    from everloop.kernel.objects.store import ObjectStore
    from everloop.kernel.objects.tables import Location

_HEX = 62
_READ_AT_ONCE = 8 << 20


class FsckReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a check found.

    Attributes:
        missing: digests whose file is gone and that were not repaired.
        corrupt: digests whose bytes do not match and that were not repaired.
        repaired: digests whose bytes were fetched again.
        unreferenced: files that no row refers to.
    """

    checked: int
    checked_bytes: int
    missing: list[str]
    corrupt: list[str]
    repaired: list[str]
    unreferenced: list[str]

    @property
    def is_clean(self) -> bool:
        """Return whether every object can be read and is what its name says."""
        return not self.missing and not self.corrupt


class BareStore:
    """The files of a store read by digest, without a catalog: the source of a repair."""

    def __init__(self, url: str, *, staging: Path, options: Mapping[str, str] | None = None) -> None:
        self._files = open_files(url, staging=staging, options=options)
        self._packed: dict[Digest, Location] | None = None

    def find(self, digest: Digest) -> bytes | None:
        """Return whole bytes of the digest, or None when the store has none."""
        for place in self._places(digest):
            content = _read(self._files, place)
            if content is not None and digest_bytes(content) == digest:
                return content
        return None

    def _places(self, digest: Digest) -> Iterator[Location]:
        for file in self._files.list(f"{FOLDER}/{digest[3:5]}"):
            if loose_digest(file.name) == digest:
                yield tables.Location(digest, file.size, file.name, None)
        if self._packed is None:
            self._packed = {place.digest: place for place in _packed(self._files)}
        if digest in self._packed:
            yield self._packed[digest]


def check_store(
    store: ObjectStore, *, quick: bool = False, repair_from: BareStore | None = None
) -> FsckReport:
    """Check that every object exists, has its size and, unless `quick`, hashes to its name.

    Args:
        store: the store.
        quick: look at existence and size only.
        repair_from: where damaged and missing objects are fetched again.
    """
    folders = (FOLDER, packs.FOLDER, tables.LINKS)
    sizes = {file.name: file.size for folder in folders for file in store.files.list(folder)}
    with store.catalog.read() as connection:
        places = [place for page in tables.pages(connection) for place, _ in page]
    # By file and offset, so that a pack is read from front to back.
    places.sort(key=lambda place: (place.file, place.offset or 0))
    states = {place.digest: _state(store, place, sizes, quick=quick) for place in places}
    bad = [place for place in places if states[place.digest]]
    repaired = [
        place.digest for place in bad if repair_from is not None and _repair(store, place, repair_from)
    ]
    fixed = set(repaired)
    return FsckReport(
        checked=len(places),
        checked_bytes=sum(place.size for place in places),
        missing=[p.digest for p in bad if states[p.digest] == "missing" and p.digest not in fixed],
        corrupt=[p.digest for p in bad if states[p.digest] == "corrupt" and p.digest not in fixed],
        repaired=list(repaired),
        unreferenced=_unreferenced(sizes, {place.file for place in places}),
    )


class Reindexed(NamedTuple):
    """The result of `reindex`: rows added, and packs whose index cannot be read."""

    added: int
    damaged_packs: list[str]


def reindex(store: ObjectStore) -> Reindexed:
    """Add a row for every object that lies in the store's files and has none.

    Bytes are not read; run `check_store` after it.
    """
    damaged: list[str] = []
    # Links first, so that bytes of the store's own take their place.
    places = [*store.links.all(), *_loose(store.files), *_packed(store.files, damaged)]
    with store.catalog.transaction(durable=True) as connection:
        known = tables.find(connection, [place.digest for place in places])
        fresh = {place.digest: place for place in places if place.digest not in known}
        tables.insert(connection, list(fresh.values()), store.catalog.now(connection))
    return Reindexed(len(fresh), damaged)


def loose_digest(name: str) -> Digest | None:
    """Return the digest in the name of a file that is one object."""
    _, folder, rest = name.split("/", 2)
    body = rest.split(".", 1)[0]
    return Digest(f"b3:{folder}{body}") if len(body) == _HEX else None


def _state(store: ObjectStore, place: Location, sizes: Mapping[str, int], *, quick: bool) -> str:
    size = sizes.get(place.file)
    if size is None:
        # Written, or moved to another pack, after the files were listed.
        return "" if store.exists(place.digest) else "missing"
    if is_link(place):
        return _state_of_link(store, place, quick=quick)
    if size < (place.offset or 0) + place.size or (place.offset is None and size != place.size):
        return "corrupt"
    if quick:
        return ""
    content = _read(store.files, place)
    return "" if content is not None and digest_bytes(content) == place.digest else "corrupt"


def _state_of_link(store: ObjectStore, place: Location, *, quick: bool) -> str:
    reason = store.links.reason(store.links.original(place))
    if reason or quick:
        return {"": "", "gone": "missing", "changed": "corrupt"}[reason]
    try:
        digest = digest_stream(
            store.links.read(place, start, _READ_AT_ONCE) for start in range(0, place.size, _READ_AT_ONCE)
        )
    except ChangedOriginalError:
        return "corrupt"
    return "" if digest == place.digest else "corrupt"


def _unreferenced(names: Iterable[str], known: set[str]) -> list[str]:
    return sorted(name for name in names if list_of(name) not in known)


def _repair(store: ObjectStore, place: Location, source: BareStore) -> bool:
    content = source.find(place.digest)
    if content is None:
        return False
    fresh = store.write_whole(place.digest, content)
    with store.catalog.transaction(durable=True) as connection:
        tables.move(connection, place.file, [fresh])
    store.forget([place.digest])
    if place.offset is None:
        store.files.delete([place.file])
    return True


def _read(files: Files, place: Location) -> bytes | None:
    try:
        return files.read(place.file, place.offset or 0, place.size)
    except FileNotFoundError:
        return None


def _loose(files: Files) -> Iterator[Location]:
    for file in files.list(FOLDER):
        digest = loose_digest(file.name)
        if digest is not None:
            yield tables.Location(digest, file.size, file.name, None)


def _packed(files: Files, damaged: list[str] | None = None) -> Iterator[Location]:
    for file in files.list(packs.FOLDER):
        try:
            yield from packs.read_index(files, file.name, file.size)
        except DamagedPackError:
            if damaged is not None:
                damaged.append(file.name)
