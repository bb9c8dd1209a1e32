"""Parts are written as a stream, end where rows say so, and are read without what was deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from everloop.data.parts import (
    PartWriter,
    decode_deletions,
    encode_deletions,
    open_piece,
    read_groups,
    read_pieces,
    store_rows,
)
from everloop.data.records import Part
from everloop.data.rows import hash_rows, sequence_digest, tally

if TYPE_CHECKING:
    from everloop.kernel.operations import Kernel

N = 700_000


def rows(start: int, end: int) -> pa.Table:
    numbers = np.arange(start, end)
    return pa.table({"id": numbers, "x": np.sin(numbers)})


def test_a_stream_in_pieces_is_written_as_the_whole() -> None:
    whole = rows(0, N)
    with PartWriter(part_bytes=(1 << 20, 4 << 20)) as writer:
        for start in range(0, N, 30_011):
            writer.write(whole.slice(start, 30_011))
        writer.finish()
        read = pa.concat_tables(read_pieces(writer.pieces()))

        assert len(writer.parts) > 1
        assert read.equals(whole)
        assert writer.tally == tally(hash_rows(whole))
        assert writer.order == sequence_digest([hash_rows(whole)])


def test_rows_put_in_at_the_front_leave_later_parts_as_they_are(kernel: Kernel) -> None:
    def digests(table: pa.Table) -> set[str]:
        with PartWriter(part_bytes=(1 << 20, 8 << 20)) as writer:
            writer.write(table)
            return {part.digest for part in writer.finish().store(kernel.objects)}

    before, after = digests(rows(0, N)), digests(pa.concat_tables([rows(-777, 0), rows(0, N)]))

    assert len(before & after) >= len(before) / 2


def test_deleted_rows_are_not_read(kernel: Kernel) -> None:
    table = rows(0, 300_000)
    part = store_rows([table], kernel.objects).parts[0]
    gone = np.array([0, 5, 131_071, 131_072, 299_999])
    bitmap = kernel.objects.put(encode_deletions(gone))
    piece = open_piece(
        Part(digest=part.digest, rows=part.rows, size_bytes=part.size_bytes, deletions=bitmap, deleted=5),
        kernel.objects,
    )
    kept = np.setdiff1d(np.arange(300_000), gone)

    assert pa.concat_tables(read_pieces([piece], ["id"])).column("id").to_numpy().tolist() == kept.tolist()
    assert np.concatenate([places for places, _ in read_groups(piece)]).tolist() == kept.tolist()
    found = pa.concat_tables([found for _, found in read_groups(piece, where=np.array([7, 200_000]))])
    assert found.column("id").to_pylist() == [7, 200_000]


def test_deletions_come_back_in_order() -> None:
    positions = np.array([1, 2, 3, 70_000, 4_000_000_000])

    assert decode_deletions(encode_deletions(positions)).tolist() == positions.tolist()
