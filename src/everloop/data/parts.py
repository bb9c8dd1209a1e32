"""Parts: the Parquet files that a table version is made of, written as a stream and read without what was deleted.

Row groups end where a row's hash says so (content-defined borders), and so do parts, so that a file with rows put in or
taken out in the middle has the same groups before and after them. Tests: tests/unit/data/test_parts.py.
"""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from blake3 import blake3
from pyroaring import BitMap

from everloop.core.digests import Digest
from everloop.data.contents import columns_of, normalise
from everloop.data.records import Part, TableReference, Tally
from everloop.data.rows import RowHashes, content_digest, hash_rows, tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import TracebackType

    import numpy.typing as npt

    from everloop.data.records import Column
    from everloop.kernel.objects import Objects

    Positions = npt.NDArray[np.int64]

# A part is closed at the first border of its own beyond the lower size, at the latest beyond the upper.
PART_BYTES = (128 << 20, 512 << 20)
# Rows of a row group: the unit of reading, and of the memory that writing takes.
_GROUP_ROWS = 131_072
# Decoded bytes that a row group should not pass; wide tables get groups of fewer rows.
_GROUP_BYTES = 64 << 20
_SMALLEST_GROUP = 4_096
# One row in so many can end a group; one group in so many can end a part.
_BORDER_EVERY = 8_192
_PART_EVERY = 4
_READERS = 2
# Row groups that one thread decodes at once; opening the file for each costs a tenth of the reading.
_GROUPS_AT_ONCE = 4
# A dictionary of more values than this share of the rows makes a group larger, and slower to write and to read.
_DICTIONARY_SHARE = 0.5
_HASHES_AT_ONCE = 1 << 20
_NONE: Positions = np.empty(0, np.int64)


class StagedPart(NamedTuple):
    """A part on the local disk that is not stored yet, beside it a file with the hashes of its rows."""

    path: Path
    rows: int
    size_bytes: int

    @property
    def hash_file(self) -> Path:
        """Return the file of the hashes."""
        return self.path.with_suffix(".hashes")

    def hashes(self) -> Iterator[RowHashes]:
        """Yield the hashes of the rows in order, a million at a time."""
        with self.hash_file.open("rb") as file:
            while len(words := np.fromfile(file, np.uint64, 2 * _HASHES_AT_ONCE)):
                yield RowHashes(words[0::2].copy(), words[1::2].copy())


class Piece(NamedTuple):
    """A stored part as a local file, and the positions of its deleted rows, ascending.

    With `only`, positions in ascending order, just these rows are looked at, deleted or not.
    """

    part: Part
    path: Path
    deleted: Positions
    only: Positions | None = None

    @property
    def looked_at(self) -> int:
        """Return how many rows are looked at."""
        return self.part.rows - len(self.deleted) if self.only is None else len(self.only)

    @property
    def live(self) -> Positions:
        """Return the positions of the rows that are looked at."""
        if self.only is not None:
            return self.only
        if not len(self.deleted):
            return np.arange(self.part.rows)
        is_live = np.ones(self.part.rows, dtype=bool)
        is_live[self.deleted] = False
        return np.flatnonzero(is_live)


class PartWriter:
    """Writes a stream of rows to part files in a folder of its own, which goes when the block ends.

    Attributes:
        parts: what is written so far; whole after `finish`.
        columns: names and types, known after the first rows.
        tally: rows and sum of hashes of everything written.
    """

    def __init__(self, *, part_bytes: tuple[int, int] = PART_BYTES) -> None:
        self.parts: list[StagedPart] = []
        self.columns: list[Column] = []
        self._folder = tempfile.TemporaryDirectory(prefix="everloop-parts-", ignore_cleanup_errors=True)
        self._part_bytes = part_bytes
        self._pending: list[tuple[pa.Table, RowHashes]] = []
        self._pending_rows = 0
        self.tally = Tally()
        self._schema: pa.Schema | None = None
        self._writer: pq.ParquetWriter | None = None
        self._hashes: BinaryIO | None = None
        self._order = blake3()

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the files."""
        if self._writer is not None:
            self._writer.close()
        if self._hashes is not None:
            self._hashes.close()
        self._folder.cleanup()

    @property
    def order(self) -> Digest:
        """Return the digest of the rows in order, as `sequence_digest` does."""
        return Digest("b3:" + self._order.hexdigest())

    @property
    def size_bytes(self) -> int:
        """Return the bytes of the files."""
        return sum(part.size_bytes for part in self.parts)

    def write(self, rows: pa.Table) -> None:
        """Take rows in the normal form; they reach the disk a group at a time."""
        if self._schema is None:
            self._schema = rows.schema
            self.columns = columns_of(rows)
        step = _group_rows(rows.schema)
        for start in range(0, rows.num_rows, step):
            piece = rows.slice(start, step)
            self._pending.append((piece, hash_rows(piece)))
            self._pending_rows += piece.num_rows
            while self._pending_rows >= 2 * step:
                self._write_group(step)

    def finish(self) -> Self:
        """Write what is left and close the last file; no rows make one empty part, which keeps the columns."""
        while self._pending_rows:
            self._write_group(_group_rows(self._pending[0][0].schema))
        if self._schema is not None and not self.parts:
            self._open(self._schema.empty_table())
        self._close_part()
        return self

    def pieces(self) -> list[Piece]:
        """Return the files as pieces that can be read before they are stored."""
        return [
            Piece(Part(digest="", rows=part.rows, size_bytes=part.size_bytes), part.path, _NONE)
            for part in self.parts
        ]

    def store(self, objects: Objects) -> list[Part]:
        """Put the files into the object store."""
        return [
            Part(digest=objects.put(part.path), rows=part.rows, size_bytes=part.size_bytes)
            for part in self.parts
        ]

    def reference(self, parts: Sequence[Part] = ()) -> TableReference:
        """Return the reference of what was written, stored as `parts` or not at all."""
        return TableReference(
            digest=content_digest(self.columns, self.tally),
            order=self.order,
            tally=self.tally,
            columns=self.columns,
            parts=list(parts),
        )

    def _write_group(self, least: int) -> None:
        rows = pa.concat_tables([table for table, _ in self._pending])
        hashes = _joined([found for _, found in self._pending])
        end = _border(hashes, least)
        self._pending = [(rows.slice(end), hashes.take(slice(end, None)))] if end < rows.num_rows else []
        self._pending_rows = rows.num_rows - end
        group = rows.slice(0, end)
        writer, file = self._open(group)
        writer.write_table(group, row_group_size=end)
        done = hashes.take(slice(0, end))
        words = np.column_stack((done.a, done.b)).tobytes()
        file.write(words)
        self._order.update(words)
        self.tally += tally(done)
        self._close_when_full(int(done.a[-1]))

    def _open(self, first: pa.Table) -> tuple[pq.ParquetWriter, BinaryIO]:
        if self._writer is None or self._hashes is None:
            path = self._next_file()
            self._writer = pq.ParquetWriter(
                path,
                first.schema,
                compression="zstd",
                use_content_defined_chunking=True,
                use_dictionary=_repeating(first),  # type: ignore[arg-type]  # pyarrow takes names, too
            )
            self._hashes = path.with_suffix(".hashes").open("wb")
        return self._writer, self._hashes

    def _next_file(self) -> Path:
        return Path(self._folder.name) / f"{len(self.parts)}.parquet"

    def _close_when_full(self, last: int) -> None:
        size = self._next_file().stat().st_size
        low, high = self._part_bytes
        is_border = (last >> 32) % _PART_EVERY == 0
        if size >= high or (size >= low and is_border):
            self._close_part()

    def _close_part(self) -> None:
        if self._writer is None or self._hashes is None:
            return
        self._writer.close()
        self._hashes.close()
        path, rows = self._next_file(), self.tally.rows - sum(part.rows for part in self.parts)
        self._writer, self._hashes = None, None
        self.parts.append(StagedPart(path, rows, path.stat().st_size))


def _joined(pieces: Sequence[RowHashes]) -> RowHashes:
    return RowHashes(np.concatenate([one.a for one in pieces]), np.concatenate([one.b for one in pieces]))


def _border(hashes: RowHashes, least: int) -> int:
    """Return where a group of at least `least` rows ends: after the first row whose hash says so."""
    n = len(hashes)
    if n <= least:
        return n
    window = hashes.a[least - 1 : least - 1 + _BORDER_EVERY * 4]
    found = np.flatnonzero(window % np.uint64(_BORDER_EVERY) == 0)
    return least + int(found[0]) if len(found) else min(n, least - 1 + len(window))


def _repeating(rows: pa.Table) -> list[str] | bool:
    """Return the columns whose values come again often enough for a dictionary, as the first group of a part tells."""
    if any(pa.types.is_nested(kind) for kind in rows.schema.types):
        return True
    most = rows.num_rows * _DICTIONARY_SHARE
    return [
        name
        for name, column in zip(rows.column_names, rows.columns, strict=True)
        if pc.count_distinct(column, mode="all").as_py() <= most
    ]


@lru_cache(maxsize=64)
def _group_rows(schema: pa.Schema) -> int:
    width = sum(_width(field.type) for field in schema)
    rows = _GROUP_ROWS
    while rows > _SMALLEST_GROUP and rows * width > _GROUP_BYTES:
        rows //= 2
    return rows


def _width(kind: Any) -> int:  # noqa: ANN401 - an Arrow type
    try:
        return max(1, int(kind.bit_width) // 8)
    except ValueError:
        return 24  # text and nested values, by experience


def encode_deletions(positions: Positions) -> bytes:
    """Return deleted positions as a portable roaring bitmap."""
    bitmap = BitMap(positions.astype(np.uint32))
    bitmap.run_optimize()
    return bitmap.serialize()


def decode_deletions(content: bytes) -> Positions:
    """Return the positions of a roaring bitmap, ascending."""
    return np.array(BitMap.deserialize(content).to_array(), dtype=np.int64)


def open_piece(part: Part, objects: Objects) -> Piece:
    """Return a stored part as a local file with its deletions."""
    deleted = (
        decode_deletions(objects.get(Digest(part.deletions))) if part.deletions else np.empty(0, np.int64)
    )
    return Piece(part, objects.path(Digest(part.digest)), deleted)


def read_groups(
    piece: Piece, columns: Sequence[str] | None = None, *, where: Positions | None = None
) -> Iterator[tuple[Positions, pa.Table]]:
    """Yield rows of a part, a row group at a time, each with the positions of its rows in the part.

    Args:
        piece: the part.
        columns: only these, in this order.
        where: only rows at these positions, ascending; by default those that are looked at. Groups without one are not
            read.
    """
    where = piece.only if where is None else where
    with pq.ParquetFile(piece.path, memory_map=True) as file:
        start = 0
        if not file.metadata.num_row_groups and where is None:
            empty = file.schema_arrow.empty_table()
            yield _NONE, normalise(empty if columns is None else empty.select(list(columns)))
        for group in range(file.metadata.num_row_groups):
            end = start + file.metadata.row_group(group).num_rows
            wanted = _within(piece.deleted if where is None else where, start, end)
            if where is None:
                yield _kept(_read_group(file, group, columns), wanted - start, start)
            elif len(wanted):
                yield wanted, _read_group(file, group, columns).take(wanted - start)
            start = end


def read_pieces(pieces: Sequence[Piece], columns: Sequence[str] | None = None) -> list[pa.Table]:
    """Return the live rows of parts in order; row groups with deleted rows are decoded and cut by two threads, a few at a time."""
    with ThreadPoolExecutor(_READERS, thread_name_prefix="everloop-read") as pool:
        found: list[Iterable[pa.Table]] = []
        for piece in pieces:
            with pq.ParquetFile(piece.path, memory_map=True) as file:
                footer = file.metadata
            if len(piece.deleted) and footer.num_row_groups > 1:
                starts = range(0, footer.num_row_groups, _GROUPS_AT_ONCE)
                found.append(pool.map(partial(_read_some, piece, columns, footer), starts))
            elif len(piece.deleted) or not footer.num_row_groups:
                found.append(rows for _, rows in read_groups(piece, columns))
            else:
                found.append([_read_whole(piece, columns)])
        return [rows for part in found for rows in part]


def hash_piece(piece: Piece) -> Iterator[tuple[Positions, RowHashes]]:
    """Yield the hashes of a part's live rows with their positions, a group at a time."""
    for positions, rows in read_groups(piece):
        yield positions, hash_rows(rows)


def store_rows(tables: Iterable[pa.Table], objects: Objects) -> TableReference:
    """Store rows, of which there is at least an empty table, and return their reference."""
    with PartWriter() as writer:
        for table in tables:
            writer.write(table)
        writer.finish()
        return writer.reference(writer.store(objects))


def _read_whole(piece: Piece, columns: Sequence[str] | None) -> pa.Table:
    chosen = None if columns is None else list(columns)
    with pq.ParquetFile(piece.path, memory_map=True) as file:
        rows = file.read(columns=chosen)
    return normalise(rows if chosen is None else rows.select(chosen))


def _read_some(piece: Piece, columns: Sequence[str] | None, footer: pq.FileMetaData, first: int) -> pa.Table:
    """Return the live rows of a few groups."""
    groups = range(first, min(first + _GROUPS_AT_ONCE, footer.num_row_groups))
    start = sum(footer.row_group(at).num_rows for at in range(first))
    chosen = None if columns is None else list(columns)
    with pq.ParquetFile(piece.path, memory_map=True, metadata=footer) as file:
        rows = file.read_row_groups(list(groups), columns=chosen, use_threads=False)
    rows = normalise(rows if chosen is None else rows.select(chosen))
    deleted = _within(piece.deleted, start, start + rows.num_rows) - start
    return _kept(rows, deleted, start)[1]


def _read_group(
    file: pq.ParquetFile, group: int, columns: Sequence[str] | None, *, threads: bool = True
) -> pa.Table:
    chosen = None if columns is None else list(columns)
    rows = file.read_row_group(group, columns=chosen, use_threads=threads)
    return normalise(rows if chosen is None else rows.select(chosen))


def _within(positions: Positions, start: int, end: int) -> Positions:
    low, high = np.searchsorted(positions, (start, end))
    return positions[low:high]


def _kept(rows: pa.Table, deleted: Positions, start: int) -> tuple[Positions, pa.Table]:
    if not len(deleted):
        return np.arange(start, start + rows.num_rows), rows
    is_live = np.ones(rows.num_rows, dtype=bool)
    is_live[deleted] = False
    return np.flatnonzero(is_live) + start, rows.filter(pa.array(is_live))
