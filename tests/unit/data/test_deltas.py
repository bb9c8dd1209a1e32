"""An edit writes the rows that changed and the places of those that went; the content is that of the rewritten table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from everloop.data.deltas import (
    compact,
    edit,
    hashes_at,
    places_of,
    remove,
    rewrite,
    upsert,
    upsert_staged,
)
from everloop.data.parts import PartWriter, open_piece, store_rows
from everloop.data.rows import tally
from everloop.data.table import Table

if TYPE_CHECKING:
    from everloop.data.records import TableReference
    from everloop.kernel.operations import Kernel

N = 20_000
ROWS = pa.table({"id": np.arange(N), "x": np.cos(np.arange(N)), "s": [f"n{n % 7}" for n in range(N)]})


def same(content: TableReference, rows: pa.Table, kernel: Kernel) -> bool:
    """Tell whether stored rows are those of a table, by digest and by reading them."""
    read = Table.open(content, kernel.objects).to_arrow()
    return content.digest == Table(arrow=rows).digest and bool(read.sort_by("id").equals(rows.sort_by("id")))


def test_a_rewritten_table_becomes_an_edit(kernel: Kernel) -> None:
    before = store_rows([ROWS], kernel.objects)
    changed = ROWS.set_column(
        1, "x", pa.array(np.where(np.arange(N) % 50 == 0, 9.0, ROWS.column("x").to_numpy()))
    )
    with PartWriter() as writer:
        writer.write(changed)
        found = rewrite(before, writer.finish(), kernel.objects)

    assert found is not None
    assert found.parts[0].digest == before.parts[0].digest
    assert (found.parts[0].deleted, found.parts[1].rows) == (400, 400)
    assert same(found, changed, kernel)


def test_a_table_rewritten_for_the_most_part_is_stored_whole(kernel: Kernel) -> None:
    before = store_rows([ROWS], kernel.objects)
    with PartWriter() as writer:
        writer.write(ROWS.set_column(1, "x", pa.array(np.zeros(N))))
        assert rewrite(before, writer.finish(), kernel.objects) is None


def test_edits_add_up_and_compaction_keeps_content_and_order(kernel: Kernel) -> None:
    content = store_rows([ROWS], kernel.objects)
    content = remove(content, "WHERE id % 10 = 3", kernel.objects)
    content = upsert(
        content, pa.table({"id": [0, 3], "x": [1.5, 2.5], "s": ["a", "b"]}), ["id"], kernel.objects
    )
    content = remove(content, "WHERE id % 10 = 4", kernel.objects)
    kept = ROWS.filter(pa.array(~np.isin(np.arange(N) % 10, (3, 4)) & (np.arange(N) > 0)))
    wanted = pa.concat_tables([kept, pa.table({"id": [0, 3], "x": [1.5, 2.5], "s": ["a", "b"]})])

    assert same(content, wanted, kernel)
    fresh = compact(content, kernel.objects)
    assert (fresh.digest, fresh.order) == (content.digest, content.order)
    assert sum(part.deleted for part in fresh.parts) == 0
    assert Table.open(fresh, kernel.objects).to_arrow().equals(Table.open(content, kernel.objects).to_arrow())


def test_an_upsert_of_staged_rows_is_that_of_rows_in_memory(kernel: Kernel) -> None:
    before = store_rows([ROWS], kernel.objects)
    fresh = pa.table({"id": np.arange(N - 5, N + 5), "x": np.full(10, 7.0), "s": ["new"] * 10})
    # Out of order, and one row that is there as it is.
    rows = pa.concat_tables([fresh.slice(6), ROWS.slice(3, 1), fresh.slice(0, 6)])
    with PartWriter() as writer:
        writer.write(rows)
        staged = upsert_staged(before, writer.finish(), ["id"], kernel.objects)

    wanted = upsert(before, rows, ["id"], kernel.objects)
    assert (staged.digest, staged.rows) == (wanted.digest, N + 5)
    assert sum(part.deleted for part in staged.parts) == 5


def test_an_upsert_of_equal_rows_changes_nothing(kernel: Kernel) -> None:
    before = store_rows([ROWS], kernel.objects)
    after = upsert(before, ROWS.slice(5, 10), ["id"], kernel.objects)

    assert (after.digest, after.parts) == (before.digest, before.parts)


def test_a_table_may_lose_every_row_and_keeps_its_columns(kernel: Kernel) -> None:
    content = store_rows([ROWS.slice(0, 10)], kernel.objects)
    empty = remove(content, "", kernel.objects)

    assert empty.rows == 0
    assert Table.open(empty, kernel.objects).schema == ROWS.schema


def test_the_tally_of_places_is_that_of_their_rows(kernel: Kernel) -> None:
    content = store_rows([ROWS], kernel.objects)
    pieces = [open_piece(part, kernel.objects) for part in content.parts]
    places = places_of(pieces, "WHERE id < 100")
    left = edit(content, kernel.objects, removed=places, removed_tally=tally(hashes_at(pieces, places)))

    assert left.digest == Table(arrow=ROWS.slice(100)).digest
