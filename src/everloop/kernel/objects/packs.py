"""Packs: many small objects in one file, with an index at the end.

Form: the objects' bytes one after another, then the index (MessagePack list of [digest, offset, size]), then
    a footer of fixed size: the index's BLAKE3 (32 bytes), its length (8 bytes, little endian) and the magic.
    The index lets the catalog be rebuilt from the store alone. Tests:
    tests/unit/kernel/objects/test_packs.py, tests/property/test_objects.py.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import msgspec
from blake3 import blake3

from everloop.core.digests import Digest
from everloop.core.errors import EverloopError
from everloop.core.ids import new_id
from everloop.kernel.objects.tables import Location

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from typing_extensions import Buffer

    from everloop.kernel.objects.files import Files

SMALL = 8 << 20
"""Of many objects, those up to this size are packed; larger ones are files of their own."""
TARGET = 32 << 20
"""A pack is closed when it has reached this size."""
FOLDER = "packs"

_MAGIC = b"EVLPACK1"
_FOOTER = struct.Struct("<32sQ8s")


class DamagedPackError(EverloopError):
    """The index of a pack cannot be read."""

    code = "objects.damaged-pack"
    status = 500


class Pack:
    """A pack being filled."""

    def __init__(self) -> None:
        self.name = f"{FOLDER}/{new_id()}.pack"
        self.size = 0
        self.locations: list[Location] = []
        self._pieces: list[Buffer] = []

    def add(self, digest: Digest, content: Buffer, size: int) -> None:
        """Append one object of `size` bytes."""
        self.locations.append(Location(digest, size, self.name, self.size))
        self._pieces.append(content)
        self.size += size

    def pieces(self) -> list[Buffer]:
        """Return the file's bytes in pieces."""
        index = msgspec.msgpack.encode([(place.digest, place.offset, place.size) for place in self.locations])
        return [*self._pieces, index, _FOOTER.pack(blake3(index).digest(), len(index), _MAGIC)]


def fill_packs(objects: Iterable[tuple[Digest, Buffer]]) -> Iterator[Pack]:
    """Yield packs of about `TARGET` bytes that hold the objects in order."""
    pack = Pack()
    for digest, content in objects:
        pack.add(digest, content, size_of(content))
        if pack.size >= TARGET:
            yield pack
            pack = Pack()
    if pack.locations:
        yield pack


def size_of(content: Buffer) -> int:
    """Return the number of bytes of a buffer."""
    return len(content) if isinstance(content, bytes) else memoryview(content).nbytes


def read_index(files: Files, name: str, size: int) -> list[Location]:
    """Return the objects of a pack from its footer.

    Raises:
        DamagedPackError: the footer or the index is not whole.
    """
    if size < _FOOTER.size:
        raise _damaged(name)
    checksum, length, magic = _FOOTER.unpack(files.read(name, size - _FOOTER.size, _FOOTER.size))
    if magic != _MAGIC or length > size - _FOOTER.size:
        raise _damaged(name)
    index = files.read(name, size - _FOOTER.size - length, length)
    if blake3(index).digest() != checksum:
        raise _damaged(name)
    rows = msgspec.msgpack.decode(index, type=list[tuple[str, int, int]])
    return [Location(Digest(digest), count, name, offset) for digest, offset, count in rows]


def _damaged(name: str) -> DamagedPackError:
    return DamagedPackError(
        f"the index of pack {name} is damaged. "
        "Run `everloop fsck --repair-from URL` with a remote that has its objects.",
        subject=name,
    )
