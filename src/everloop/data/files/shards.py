"""Shards: how the rows of a tree are cut, named and written.

Where a shard begins depends on the path that begins it and on nothing else (a hash of it, one path in 1,024), so the same files
make the same shards whatever came before, and a change touches only the shard it falls into. A shard has two names: the digest of
its *content* (paths, digests, executable bits), which trees are compared by, and that of the *object* that holds it, which also
says how each file is stored and depends on the compressor.

Form of the object: MessagePack [version, columns compressed by zstd, digests, digests of chunks].
Tests: tests/unit/data/files/test_trees.py,
tests/property/test_trees.py.
"""

from __future__ import annotations

import struct
import zlib
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import zstandard
from blake3 import blake3

from everloop.core.errors import EverloopError
from everloop.data.files.rows import RAW, ChunkList, Rows, as_digests

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from everloop.data.files.records import TreeReference

_VERSION = 1
_ONE_IN = 1_024
# Multiplying by 2**32 over the golden ratio spreads the checksums of names that count upward (Knuth, 6.4).
_SPREAD = 0x9E3779B1
_WORD = 0xFFFFFFFF


class UnreadableTreeError(EverloopError):
    """An object is not the tree or the shard that it should be."""

    code = "files.unreadable-tree"
    status = 500


class _Columns(msgspec.Struct, array_like=True):
    """What compresses well: names, sizes, modes, and how many chunks of which sizes each file has."""

    paths: bytes
    sizes: bytes
    modes: bytes
    chunk_counts: dict[int, int]
    chunk_sizes: bytes


class _Stored(msgspec.Struct, array_like=True):
    version: int
    columns: bytes
    digests: bytes
    chunk_digests: bytes


def is_beginning(path: str) -> bool:
    """Return whether this path begins a shard wherever it occurs."""
    return bool(_begin([path.encode()])[0])


def cuts(paths: list[str]) -> Iterator[tuple[int, int]]:
    """Yield the first row of each shard and the row after its last."""
    if not paths:
        return
    begins = _begin("\0".join(paths).encode().split(b"\0"))
    begins[0] = True
    starts = [*np.flatnonzero(begins).tolist(), len(paths)]
    yield from pairwise(starts)


def name_content(rows: Rows) -> bytes:
    """Return the 32 bytes that name what a shard says about its files, however they are stored."""
    paths = "\0".join(rows.paths).encode()
    hasher = blake3(struct.pack("<QQ", len(rows.paths), len(paths)))
    hasher.update(paths)
    hasher.update(rows.digests.tobytes())
    hasher.update(rows.modes.tobytes())
    return hasher.digest()


def encode(rows: Rows) -> bytes:
    """Return the object of a shard."""
    lists = [rows.chunks[row] for row in sorted(rows.chunks)]
    columns = _Columns(
        "\0".join(rows.paths).encode(),
        rows.sizes.astype("<i8").tobytes(),
        rows.modes.tobytes(),
        {row: len(rows.chunks[row].sizes) // 4 for row in sorted(rows.chunks)},
        b"".join(item.sizes for item in lists),
    )
    packed = zstandard.ZstdCompressor(level=3).compress(msgspec.msgpack.encode(columns))
    stored = _Stored(_VERSION, packed, rows.digests.tobytes(), b"".join(item.digests for item in lists))
    return msgspec.msgpack.encode(stored)


def decode(content: bytes, reference: TreeReference) -> Rows:
    """Return the rows of a shard of `reference`.

    Raises:
        UnreadableTreeError: the object is no shard.
    """
    try:
        stored = msgspec.msgpack.decode(content, type=_Stored)
        if stored.version != _VERSION:
            raise unreadable(reference, f"its shards have form {stored.version}")
        columns = msgspec.msgpack.decode(
            zstandard.ZstdDecompressor().decompress(stored.columns), type=_Columns
        )
        return Rows(
            columns.paths.decode().split("\0"),
            as_digests(stored.digests),
            np.frombuffer(columns.sizes, "<i8"),
            np.frombuffer(columns.modes, np.uint8),
            _chunks(columns, stored.chunk_digests),
        )
    except (msgspec.DecodeError, zstandard.ZstdError, ValueError) as error:
        raise unreadable(reference, str(error)) from error


def unreadable(reference: TreeReference, reason: str) -> UnreadableTreeError:
    """Return the error of a tree that this version of Everloop cannot read."""
    return UnreadableTreeError(
        f"the tree {reference.digest[:11]} cannot be read: {reason}. Run `everloop fsck`; "
        "if it finds nothing, the tree was written by a newer Everloop: upgrade.",
        subject=reference.digest,
    )


def _chunks(columns: _Columns, digests: bytes) -> dict[int, ChunkList]:
    found: dict[int, ChunkList] = {}
    at = 0
    for row, count in columns.chunk_counts.items():
        end = at + count
        found[row] = ChunkList(digests[at * RAW : end * RAW], columns.chunk_sizes[at * 4 : end * 4])
        at = end
    return found


def _begin(paths: list[bytes]) -> NDArray[np.bool_]:
    sums = np.fromiter(map(zlib.crc32, paths), np.uint64, len(paths))
    found: NDArray[np.bool_] = (sums * np.uint64(_SPREAD) & np.uint64(_WORD)) < np.uint64(
        (_WORD + 1) // _ONE_IN
    )
    return found
