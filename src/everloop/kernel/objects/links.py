"""Linked objects: bytes that stay where their owner keeps them, as a hard link or as a reference.

A list of originals is a file `links/<id>/list` of the store; row n of it is an object whose location is (that file, n). A hard link
`links/<id>/<n>` survives the removal of the original, a reference (another file system, a foreign owner) does not. Neither survives an
edit in place, so size, time of change and, for a reference, inode are compared before each read: what changed is refused, never
returned as if it were the object. Tests: tests/unit/kernel/objects/test_links.py.
"""

from __future__ import annotations

import os
import shutil
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from everloop.core.digests import Digest
from everloop.core.errors import ConflictError, InvalidInputError
from everloop.core.ids import new_id
from everloop.kernel.objects.files.local import sync
from everloop.kernel.objects.tables import LINKS, Location

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from everloop.kernel.objects.files import Files

_READ_AT_ONCE = 1 << 30


class ChangedOriginalError(ConflictError):
    """The file that a linked object points to was changed or removed."""

    code = "objects.changed-original"


class CannotLinkError(InvalidInputError):
    """The store cannot hold links to files of this machine."""

    code = "objects.cannot-link"


class Seen(NamedTuple):
    """A file to link, its digest, and its status when the digest was taken."""

    path: Path
    digest: Digest
    status: os.stat_result


class Original(msgspec.Struct, frozen=True, array_like=True):
    """A file whose bytes are a linked object; `kept` names the store's hard link, empty for a reference."""

    digest: str
    path: str
    size: int
    mtime_ns: int
    inode: int
    kept: str = ""


class ChangedOriginal(msgspec.Struct, frozen=True, kw_only=True):
    """A linked object that can no longer be read."""

    digest: str
    path: str
    reason: Literal["changed", "gone"]


class Links:
    """The lists of linked objects of one store. Threads may share it."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._list = lru_cache(maxsize=16)(self._read_list)

    def make(self, seen: Sequence[Seen]) -> list[Location]:
        """Link files, each under its digest; return where the objects are now.

        Raises:
            CannotLinkError: the store is not on this machine.
            ChangedOriginalError: a file changed since its digest was taken.
        """
        name = f"{LINKS}{new_id()}/list"
        place = self._files.path(name)
        if place is None:
            raise CannotLinkError(
                f"the object store {self._files.place} is not on this machine, so it cannot link to files here. "
                "Add them without the link, which copies them.",
                subject=self._files.place,
            )
        place.parent.mkdir(parents=True)
        try:
            originals = [self._hold(place.parent, number, one) for number, one in enumerate(seen)]
            self._files.write(name, [msgspec.msgpack.encode(originals)], durable=True)
        except BaseException:
            shutil.rmtree(place.parent, ignore_errors=True)
            raise
        sync(place.parent.parent)
        return [
            Location(Digest(original.digest), original.size, name, number)
            for number, original in enumerate(originals)
        ]

    def read(self, place: Location, start: int, length: int) -> bytes:
        """Return bytes of a linked object.

        Raises:
            ChangedOriginalError: the original is gone or changed.
        """
        original = self.original(place)
        target = self._target(original)
        try:
            handle = os.open(target, os.O_RDONLY)
        except OSError:
            raise _changed(original, "gone") from None
        try:
            if _differs(original, os.fstat(handle)):
                raise _changed(original, "changed")
            return b"".join(_pieces(handle, start, min(length, place.size - start)))
        finally:
            os.close(handle)

    def path(self, place: Location) -> Path:
        """Return the file that holds the object, checked as in `read`."""
        original = self.original(place)
        reason = self.reason(original)
        if reason:
            raise _changed(original, reason)
        return self._target(original)

    def original(self, place: Location) -> Original:
        """Return the record of a linked object; `FileNotFoundError` when its list is gone."""
        return self._list(place.file)[place.offset or 0]

    def reason(self, original: Original) -> Literal["", "changed", "gone"]:
        """Return why the object can no longer be read, or nothing."""
        try:
            status = self._target(original).stat()
        except OSError:
            return "gone"
        return "changed" if _differs(original, status) else ""

    def is_whole(self, place: Location) -> bool:
        """Return whether the object can be read."""
        try:
            return not self.reason(self.original(place))
        except FileNotFoundError:
            return False

    def all(self) -> Iterator[Location]:
        """Yield the objects of every list in the store."""
        for file in self._files.list(LINKS):
            if file.name.endswith("/list"):
                for number, original in enumerate(self._list(file.name)):
                    yield Location(Digest(original.digest), original.size, file.name, number)

    def shrink(self, name: str, alive: Sequence[Location]) -> None:
        """Remove the hard links that no object uses any more, and the list when none is left."""
        used = {place.offset for place in alive}
        kept = [one.kept for number, one in enumerate(self._list(name)) if one.kept and number not in used]
        self._files.delete(kept if alive else [*kept, name])
        folder = self._files.path(name)
        if not alive and folder is not None:
            folder.parent.rmdir()

    def _hold(self, folder: Path, number: int, seen: Seen) -> Original:
        kept = folder / str(number)
        try:
            os.link(seen.path, kept)
        except OSError:
            name = ""
        else:
            name = f"{LINKS}{folder.name}/{number}"
        status = seen.status
        original = Original(
            seen.digest, str(seen.path), status.st_size, status.st_mtime_ns, status.st_ino, name
        )
        reason = self.reason(original)
        if reason:
            raise _changed(original, reason)
        return original

    def _target(self, original: Original) -> Path:
        own = self._files.path(original.kept) if original.kept else None
        return own or Path(original.path)

    def _read_list(self, name: str) -> list[Original]:
        return msgspec.msgpack.decode(self._files.read(name), type=list[Original])


def is_link(place: Location) -> bool:
    """Return whether the bytes of an object are not the store's own."""
    return place.file.startswith(LINKS)


def list_of(name: str) -> str:
    """Return the list that a file of the store belongs to, and the name itself of any other file."""
    return f"{name.rsplit('/', 1)[0]}/list" if name.startswith(LINKS) else name


def _differs(original: Original, status: os.stat_result) -> bool:
    return (original.size, original.mtime_ns, original.inode) != (
        status.st_size,
        status.st_mtime_ns,
        status.st_ino,
    )


def _pieces(handle: int, start: int, length: int) -> Iterator[bytes]:
    os.lseek(handle, start, os.SEEK_SET)
    while length > 0:
        piece = os.read(handle, min(length, _READ_AT_ONCE))
        if not piece:
            return
        yield piece
        length -= len(piece)


def _changed(original: Original, reason: str) -> ChangedOriginalError:
    happened = "was changed" if reason == "changed" else "is gone"
    return ChangedOriginalError(
        f"{original.path} {happened} since object {original.digest[:11]} was linked to it, and the store has no copy of its own. "
        "Put the file back as it was, or add it again without the link.",
        subject=original.digest,
        details={"path": original.path, "reason": reason},
    )
