"""Cut a large file where its content says so (FastCDC), so that a change in its middle is stored as the chunks around it.

Tests: tests/unit/data/files/test_folders.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from blake3 import blake3
from pyfastcdc import FastCDC

from everloop.data.files.index import Noted
from everloop.data.files.rows import ChunkList

if TYPE_CHECKING:
    from everloop.data.files.sink import ObjectSink

# Files above this are cut into chunks of these sizes: smallest, usual, largest.
LARGE = 8 << 20
_CHUNK = (256 << 10, 1 << 20, 4 << 20)
_BUFFER = 64 << 20


class Readable(Protocol):
    """What bytes are read from."""

    def read(self, size: int, /) -> bytes:
        """Return at most so many bytes, none at the end."""
        ...


def store_chunks(opened: Readable, sink: ObjectSink) -> tuple[Noted, int]:
    """Store what is read to the end in chunks; return its content and its size in bytes."""
    cutter = FastCDC(min_size=_CHUNK[0], avg_size=_CHUNK[1], max_size=_CHUNK[2])
    whole, size, rest = blake3(max_threads=blake3.AUTO), 0, b""
    digests, sizes = bytearray(), list[int]()
    while True:
        piece = opened.read(_BUFFER)
        whole.update(piece)
        size += len(piece)
        held = memoryview(rest + piece)
        ends = [chunk.offset + chunk.length for chunk in cutter.cut_buf(held)] if held else []
        # The last chunk may go on in what comes next.
        ends = ends if not piece else ends[:-1]
        start = 0
        for end in ends:
            content = bytes(held[start:end])
            raw = blake3(content).digest()
            sink.add(raw, content)
            digests += raw
            sizes.append(len(content))
            start = end
        rest = bytes(held[start:])
        if not piece:
            return Noted(whole.digest(), ChunkList(bytes(digests), np.array(sizes, "<u4").tobytes())), size
