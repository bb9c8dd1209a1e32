"""The object store: bytes in files, places in the catalog.

Order of a put: look up, write the file under a new name, commit the row. Two writers of the same bytes both
succeed; the row keeps the first file. Reads remember places; a file that moved (its pack was rewritten) is
looked up once more.
Tests: tests/unit/kernel/objects, tests/contract/test_objects.py, tests/property/test_objects.py.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from blake3 import blake3

from everloop.core.digests import Digest, digest_bytes, digest_file
from everloop.core.ids import new_id
from everloop.kernel.objects import packs, tables
from everloop.kernel.objects.cache import DEFAULT_LIMIT, LocalCache
from everloop.kernel.objects.files import open_files
from everloop.kernel.objects.files.local import refuse_full_disk
from everloop.kernel.objects.links import ChangedOriginal, ChangedOriginalError, Links, is_link
from everloop.kernel.objects.protocol import DigestMismatchError, LostObjectError, ObjectNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import sqlalchemy as sa
    from typing_extensions import Buffer

    from everloop.kernel.catalog import Catalog
    from everloop.kernel.objects.links import Original, Seen
    from everloop.kernel.objects.protocol import Content
    from everloop.kernel.objects.tables import Location

FOLDER = "objects"

# Hashing this much takes about a millisecond; larger objects are checked by `fsck`, or when asked.
_SMALL_TO_VERIFY = 4 << 20
_CHUNK = 8 << 20
_REMEMBERED = 100_000
# Neighbours in a pack are read together up to this many bytes, gaps between them up to so many.
_READ_TOGETHER = 8 << 20
_GAP = 256 << 10


class ObjectStore:
    """A content-addressed store on a folder or an obstore URL; implements `Objects`.

    Args:
        catalog: holds the table `object`.
        url: a folder or a URL; one catalog for each URL.
        cache: folder for local copies and for spooling.
        options: obstore's options for the URL.
        verify: check what is read against its digest, up to 4 MiB; larger objects when asked, or by `fsck`.
        cache_limit: bytes of local copies to keep.
    """

    def __init__(
        self,
        catalog: Catalog,
        url: str,
        *,
        cache: Path,
        options: Mapping[str, str] | None = None,
        verify: bool = True,
        cache_limit: int = DEFAULT_LIMIT,
    ) -> None:
        self.catalog = catalog
        self.files = open_files(url, staging=cache / "staging", options=options)
        self.links = Links(self.files)
        self._cache = LocalCache(cache / "copies", limit=cache_limit)
        self._verify = verify
        self._places: dict[Digest, Location] = {}

    def put(self, content: Content, *, durable: bool = True) -> Digest:
        """Store bytes, a file or a stream; see `Objects.put`."""
        if isinstance(content, bytes | bytearray | memoryview):
            return self._put_bytes(bytes(content), durable=durable)
        if isinstance(content, Path):
            digest = digest_file(content)
            if digest in self._keep([digest]):
                return digest
            return self._put_stream(_chunks(content), durable=durable)
        return self._put_stream(content, durable=durable)

    def put_many(self, contents: Sequence[bytes], *, durable: bool = True) -> list[Digest]:
        """Store many pieces; small new ones share packs of about 32 MiB."""
        digests = [digest_bytes(content) for content in contents]
        self.put_new(dict(zip(digests, contents, strict=True)), durable=durable)
        return digests

    def put_new(self, contents: Mapping[Digest, Buffer], *, durable: bool = True) -> set[Digest]:
        """Store buffers under digests just taken of them; see `Objects.put_new`."""
        fresh = dict(contents)
        for known in self._keep(list(fresh)):
            del fresh[known]
        small = {d: content for d, content in fresh.items() if packs.size_of(content) <= packs.SMALL}
        if len(small) == 1:
            small = {}
        for digest in fresh.keys() - small.keys():
            self._write_loose(digest, fresh[digest], durable=durable)
        places: list[Location] = []
        for pack in packs.fill_packs(small.items()):
            self.files.write(pack.name, pack.pieces(), durable=durable)
            places += pack.locations
        if places:
            self._record(places)
        return set(fresh)

    def link(self, seen: Sequence[Seen]) -> list[Original]:
        """Make files objects without copying them; those whose bytes the store has are left alone.

        Returns:
            The files that were linked.

        Raises:
            CannotLinkError: the store is not on this machine.
            ChangedOriginalError: a file changed since its digest was taken.
        """
        missing = self.missing([one.digest for one in seen])
        fresh = {one.digest: one for one in seen if one.digest in missing}
        if not fresh:
            return []
        places = self.links.make(list(fresh.values()))
        self._record(places)
        return [self.links.original(place) for place in places]

    def changed_originals(self) -> list[ChangedOriginal]:
        """Return the linked objects that can no longer be read."""
        with self.catalog.read() as connection:
            places = tables.linked(connection)
        originals = [self.links.original(place) for place in places]
        reasons = [(original, self.links.reason(original)) for original in originals]
        return [
            ChangedOriginal(digest=original.digest, path=original.path, reason=reason)
            for original, reason in reasons
            if reason
        ]

    def get(self, digest: Digest, *, verify: bool | None = None) -> bytes:
        """Return the bytes of an object; see `Objects.get`."""
        place, content = self._read(digest, lambda at: self._bytes(at, 0, at.size))
        is_checked = verify if verify is not None else self._verify and place.size <= _SMALL_TO_VERIFY
        if is_checked or len(content) != place.size:
            check(digest, digest_bytes(content))
        return content

    def get_many(self, digests: Iterable[Digest]) -> Iterator[tuple[Digest, bytes]]:
        """Yield objects in the order they lie in the store; see `Objects.get_many`."""
        asked = set(digests)
        places = self._find(asked)
        if len(places) < len(asked):
            raise _unknown(min(asked - {place.digest for place in places}))
        places.sort(key=lambda place: (place.file, place.offset or 0))
        for together in _neighbours(places):
            self._remember(together)
            yield from self._get_together(together)

    def get_range(self, digest: Digest, start: int, length: int) -> bytes:
        """Return part of an object; see `Objects.get_range`."""
        return self._read(digest, lambda at: self._bytes(at, start, length))[1]

    def exists(self, digest: Digest) -> bool:
        """Return whether the object can be read."""
        return any(map(self._is_there, self._find([digest])))

    def missing(self, digests: Iterable[Digest]) -> set[Digest]:
        """Return which objects are not in the store, and keep the others; see `Objects.missing`."""
        asked = set(digests)
        return asked - self._touch(self._find(asked))

    def size(self, digest: Digest) -> int:
        """Return the number of bytes."""
        return self._place(digest).size

    def path(self, digest: Digest) -> Path:
        """Return a local file with the content; see `Objects.path`."""
        place = self._place(digest)
        if is_link(place):
            return self.links.path(place)
        own = self.files.path(place.file) if place.offset is None else None
        if own is None:
            return self._cache.path(digest, place.size, lambda: self._verified_chunks(digest))
        if own.exists():
            return own
        self._places.pop(digest, None)
        raise _lost(digest)

    def delete(self, digest: Digest) -> None:
        """Forget an object; bytes inside a pack go when the pack is rewritten."""
        with self.catalog.transaction() as connection:
            place = tables.find(connection, [digest]).get(digest)
            tables.drop(connection, [digest])
        self.forget([digest])
        if place is not None and place.offset is None:
            self.files.delete([place.file])

    def keep(self, connection: sa.Connection, digests: Iterable[Digest]) -> None:
        """Start a new grace period for objects inside the caller's transaction.

        Call it in the transaction that writes a row which refers to them.

        Raises:
            ObjectNotFoundError: one is not in the store.
        """
        asked = set(digests)
        missing = asked - tables.touch(connection, asked, self.catalog.now(connection))
        if missing:
            raise _unknown(min(missing))

    def forget(self, digests: Iterable[Digest]) -> None:
        """Drop what this process remembers of objects, local copies included."""
        for digest in digests:
            self._places.pop(digest, None)
            self._cache.forget(digest)

    def write_whole(self, digest: Digest, content: bytes) -> Location:
        """Write bytes to a new file of their own, without a row."""
        place = tables.Location(digest, len(content), _new_name(digest), None)
        self.files.write(place.file, [content], durable=True)
        return place

    def _put_bytes(self, content: bytes, *, durable: bool) -> Digest:
        digest = digest_bytes(content)
        if digest not in self._keep([digest]):
            self._write_loose(digest, content, durable=durable)
        return digest

    def _write_loose(self, digest: Digest, content: Buffer, *, durable: bool) -> None:
        place = tables.Location(digest, packs.size_of(content), _new_name(digest), None)
        self.files.write(place.file, [content], durable=durable)
        self._record([place])

    def _put_stream(self, pieces: Iterable[bytes | memoryview], *, durable: bool) -> Digest:
        staged = self.files.staging / new_id()
        try:
            digest = self._spool(pieces, staged)
            if digest not in self._keep([digest]):
                place = tables.Location(digest, staged.stat().st_size, _new_name(digest), None)
                self.files.adopt(place.file, staged, durable=durable)
                self._record([place])
        finally:
            staged.unlink(missing_ok=True)
        return digest

    def _spool(self, pieces: Iterable[bytes | memoryview], staged: Path) -> Digest:
        hasher = blake3()
        with refuse_full_disk(str(self.files.staging)), staged.open("wb", buffering=1 << 20) as file:
            for piece in pieces:
                hasher.update(piece)
                file.write(piece)
        return Digest("b3:" + hasher.hexdigest())

    def _keep(self, digests: Sequence[Digest]) -> set[Digest]:
        """Start a new grace period for those whose bytes are the store's own; return them.

        A linked object is not among them: whoever puts its bytes gets a copy that does not depend on the original.
        """
        return self._touch([place for place in self._find(digests) if not is_link(place)])

    def _find(self, digests: Iterable[Digest]) -> list[Location]:
        with self.catalog.read() as connection:
            return list(tables.find(connection, digests).values())

    def _touch(self, places: Sequence[Location]) -> set[Digest]:
        """Start a new grace period for those that can be read and return them.

        Rows whose file is gone are dropped, so that a put heals them; rows of changed originals stay, so that they can be named.
        """
        if not places:
            return set()
        is_there = {name: self.files.size(name) is not None for name in {place.file for place in places}}
        whole = {p.digest for p in places if is_there[p.file] and (not is_link(p) or self.links.is_whole(p))}
        with self.catalog.transaction() as connection:
            tables.drop_lost(connection, [place for place in places if not is_there[place.file]])
            return tables.touch(connection, whole, self.catalog.now(connection))

    def _is_there(self, place: Location) -> bool:
        return self.links.is_whole(place) if is_link(place) else self.files.size(place.file) is not None

    def _bytes(self, at: Location, start: int, length: int) -> bytes:
        count = min(length, at.size - start)
        if count <= 0:
            return b""
        if is_link(at):
            return self.links.read(at, start, count)
        return self.files.read(at.file, (at.offset or 0) + start, count)

    def _get_together(self, places: Sequence[Location]) -> Iterator[tuple[Digest, bytes]]:
        if len(places) == 1:
            yield places[0].digest, self.get(places[0].digest)
            return
        first, last = places[0], places[-1]
        start, end = first.offset or 0, (last.offset or 0) + last.size
        try:
            content = self.files.read(first.file, start, end - start)
        except FileNotFoundError:  # the pack was rewritten in the meantime
            for place in places:
                yield place.digest, self.get(place.digest)
            return
        for place in places:
            at = (place.offset or 0) - start
            piece = content[at : at + place.size]
            if self._verify or len(piece) != place.size:
                check(place.digest, digest_bytes(piece))
            yield place.digest, piece

    def _record(self, places: Sequence[Location]) -> None:
        with self.catalog.transaction() as connection:
            tables.insert(connection, places, self.catalog.now(connection))
            kept = tables.find(connection, [places[0].digest]) if len(places) == 1 else {}
        for place in places:
            if place.offset is None and kept and kept[place.digest].file != place.file:
                self.files.delete([place.file])

    def _place(self, digest: Digest) -> Location:
        place = self._places.get(digest)
        if place is not None:
            return place
        with self.catalog.read() as connection:
            place = tables.find(connection, [digest]).get(digest)
        if place is None:
            raise _unknown(digest)
        self._remember([place])
        return place

    def _remember(self, places: Iterable[Location]) -> None:
        if len(self._places) >= _REMEMBERED:
            self._places.clear()
        self._places.update((place.digest, place) for place in places)

    def _read(self, digest: Digest, read: Callable[[Location], bytes]) -> tuple[Location, bytes]:
        place = self._place(digest)
        with suppress(FileNotFoundError, ChangedOriginalError):
            return place, read(place)
        self._places.pop(digest, None)
        place = self._place(digest)
        try:
            return place, read(place)
        except FileNotFoundError as error:
            self._places.pop(digest, None)
            raise _lost(digest) from error

    def _verified_chunks(self, digest: Digest) -> Iterator[bytes]:
        hasher = blake3()
        for start in range(0, self.size(digest), _CHUNK):
            piece = self.get_range(digest, start, _CHUNK)
            hasher.update(piece)
            yield piece
        check(digest, Digest("b3:" + hasher.hexdigest()))


def check(digest: Digest, found: Digest) -> None:
    """Compare the digest of bytes with the name they were stored under.

    Raises:
        DigestMismatchError: they differ.
    """
    if digest != found:
        raise DigestMismatchError(
            f"object {digest[:11]} is damaged: its bytes hash to {found[:11]}. "
            "Run `everloop fsck --repair-from URL` to fetch it again from a remote.",
            subject=digest,
        )


def _neighbours(places: Sequence[Location]) -> Iterator[list[Location]]:
    """Cut places, ordered by file and offset, into runs that are read together."""
    run: list[Location] = []
    for place in places:
        if run and not _is_next(run, place):
            yield run
            run = []
        run.append(place)
    if run:
        yield run


def _is_next(run: Sequence[Location], place: Location) -> bool:
    first, last = run[0], run[-1]
    if place.file != first.file or place.offset is None or is_link(place):
        return False
    gap = place.offset - (last.offset or 0) - last.size
    return gap <= _GAP and place.offset + place.size - (first.offset or 0) <= _READ_TOGETHER


def _new_name(digest: Digest) -> str:
    return f"{FOLDER}/{digest[3:5]}/{digest[5:]}.{secrets.token_hex(4)}"


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            yield piece


def _unknown(digest: Digest) -> ObjectNotFoundError:
    return ObjectNotFoundError(
        f"there is no object {digest[:11]} in the store. It was never stored here, or was collected; "
        "run the step that makes it again.",
        subject=digest,
    )


def _lost(digest: Digest) -> LostObjectError:
    return LostObjectError(
        f"object {digest[:11]} is in the catalog but its file is gone from the store. "
        "Run `everloop fsck --repair-from URL` to fetch it from a remote.",
        subject=digest,
    )
