"""The content of one file of a tree as a stream, whether it is one object or many chunks.

Tests: tests/unit/data/files/test_trees.py,
tests/property/test_trees.py.
"""

from __future__ import annotations

import io
from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING

from everloop.core.digests import Digest

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from everloop.data.files.records import FileEntry
    from everloop.kernel.objects import Objects

_BUFFER = 1 << 20


def open_content(entry: FileEntry, objects: Objects) -> io.BufferedReader:
    """Open the content of a file for reading and seeking; only the ranges that are read are fetched."""
    return io.BufferedReader(_Content(entry, objects), buffer_size=_BUFFER)


class _Content(io.RawIOBase):
    """Reads ranges of the objects that hold a file."""

    def __init__(self, entry: FileEntry, objects: Objects) -> None:
        super().__init__()
        self.name = entry.path
        self._objects = objects
        self._size = entry.size_bytes
        self._digests = [Digest(chunk.digest) for chunk in entry.chunks] or [Digest(entry.digest)]
        self._ends = list(accumulate(chunk.size_bytes for chunk in entry.chunks)) or [entry.size_bytes]
        self._at = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position; see `io.IOBase.seek`."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if origin + offset < 0:
            raise ValueError(f"there is nothing before the beginning of {self.name}")
        self._at = origin + offset
        return self._at

    def readinto(self, buffer: Buffer, /) -> int:
        """Fill the buffer from one object; return how much it took, 0 at the end."""
        view = memoryview(buffer).cast("B")
        if self._at >= self._size or not view:
            return 0
        number = bisect_right(self._ends, self._at)
        begin = self._ends[number - 1] if number else 0
        count = min(len(view), self._ends[number] - self._at)
        piece = self._objects.get_range(self._digests[number], self._at - begin, count)
        view[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)
