"""The files of a tree as columns, ordered by path: what shards hold and what is compared.

One million entries are about 150 MB this way; records are made only for what a caller looks at. Tests: tests/unit/data/files/test_trees.py,
tests/property/test_trees.py.
"""

from __future__ import annotations

from itertools import islice
from operator import attrgetter, lt
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from everloop.core.digests import Digest
from everloop.data.files.records import Chunk, FileEntry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

RAW = 32
"""Bytes of a digest."""


class ChunkList(NamedTuple):
    """The chunks of one file: their digests one after another, their sizes as little-endian 32-bit numbers."""

    digests: bytes
    sizes: bytes

    def records(self) -> tuple[Chunk, ...]:
        """Return the chunks in order."""
        sizes: list[int] = np.frombuffer(self.sizes, "<u4").tolist()
        return tuple(map(Chunk, texts(self.digests), sizes))


class Rows(NamedTuple):
    """Files in the order of their paths.

    Attributes:
        paths: n paths, ascending.
        digests: (n, 32) bytes.
        sizes: n whole numbers.
        modes: n numbers, 1 for an executable file, 0 for others.
        chunks: of those files that are stored in chunks, by row.
    """

    paths: list[str]
    digests: NDArray[np.uint8]
    sizes: NDArray[np.int64]
    modes: NDArray[np.uint8]
    chunks: dict[int, ChunkList]

    def entry(self, row: int) -> FileEntry:
        """Return one file as a record."""
        chunks = self.chunks.get(row)
        return FileEntry(
            path=self.paths[row],
            digest=f"b3:{self.digests[row].tobytes().hex()}",
            size_bytes=int(self.sizes[row]),
            is_executable=bool(self.modes[row]),
            chunks=() if chunks is None else chunks.records(),
        )

    def entries(self) -> Iterator[FileEntry]:
        """Yield every file as a record."""
        return map(self.entry, range(len(self.paths)))

    def cut(self, start: int, stop: int) -> Rows:
        """Return the files from row `start` to before `stop`."""
        chunks = {row - start: self.chunks[row] for row in self.chunks if start <= row < stop}
        return Rows(
            self.paths[start:stop],
            self.digests[start:stop],
            self.sizes[start:stop],
            self.modes[start:stop],
            chunks,
        )

    def take(self, order: NDArray[np.int64]) -> Rows:
        """Return the files of these rows, in this order."""
        places: list[int] = order.tolist()
        chunks = {}
        if self.chunks:
            chunks = {new: self.chunks[old] for new, old in enumerate(places) if old in self.chunks}
        paths = [self.paths[row] for row in places]
        return Rows(paths, self.digests[order], self.sizes[order], self.modes[order], chunks)

    def sorted(self) -> Rows:
        """Return the files in the order of their paths."""
        if all(map(lt, self.paths, islice(self.paths, 1, None))):
            return self
        order = sorted(range(len(self.paths)), key=self.paths.__getitem__)
        return self.take(np.array(order, np.int64))

    def names(self) -> list[Digest]:
        """Return the digests as text."""
        return texts(self.digests.tobytes())


def rows_of(entries: Iterable[FileEntry]) -> Rows:
    """Return files as rows, in the order of their paths."""
    ordered = sorted(entries, key=attrgetter("path"))
    return Rows(
        [entry.path for entry in ordered],
        raw_digests(entry.digest for entry in ordered),
        np.fromiter((entry.size_bytes for entry in ordered), np.int64, len(ordered)),
        np.fromiter((entry.is_executable for entry in ordered), np.uint8, len(ordered)),
        {row: chunk_list(entry.chunks) for row, entry in enumerate(ordered) if entry.chunks},
    )


def join(pieces: Sequence[Rows]) -> Rows:
    """Return the files of pieces that follow one another."""
    if len(pieces) == 1:
        return pieces[0]
    chunks: dict[int, ChunkList] = {}
    paths: list[str] = []
    for piece in pieces:
        chunks.update((row + len(paths), value) for row, value in piece.chunks.items())
        paths += piece.paths
    if not paths:
        return rows_of([])
    return Rows(
        paths,
        np.concatenate([piece.digests for piece in pieces]),
        np.concatenate([piece.sizes for piece in pieces]),
        np.concatenate([piece.modes for piece in pieces]),
        chunks,
    )


def find_places(paths: list[str], among: list[str]) -> NDArray[np.int64]:
    """Return for each path its place among others, -1 where it is not."""
    if paths == among:
        return np.arange(len(paths))
    place = {path: row for row, path in enumerate(among)}
    return np.fromiter((place.get(path, -1) for path in paths), np.int64, len(paths))


def chunk_list(chunks: Iterable[Chunk]) -> ChunkList:
    """Return chunks as columns."""
    listed = list(chunks)
    sizes = np.array([chunk.size_bytes for chunk in listed], "<u4").tobytes()
    return ChunkList(b"".join(bytes.fromhex(chunk.digest[3:]) for chunk in listed), sizes)


def raw_digests(digests: Iterable[str]) -> NDArray[np.uint8]:
    """Return digests as an (n, 32) array."""
    return as_digests(b"".join(bytes.fromhex(digest[3:]) for digest in digests))


def as_digests(raw: bytes) -> NDArray[np.uint8]:
    """Return the bytes of n digests as an (n, 32) array."""
    return np.frombuffer(raw, np.uint8).reshape(-1, RAW)


def texts(raw: bytes) -> list[Digest]:
    """Return the bytes of n digests as text."""
    text = raw.hex()
    return [Digest(f"b3:{text[start : start + 2 * RAW]}") for start in range(0, len(text), 2 * RAW)]
