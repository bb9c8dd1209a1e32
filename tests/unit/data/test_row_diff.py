"""Rows are compared where versions differ, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from everloop.data.deltas import edit, remove, upsert
from everloop.data.parts import store_rows
from everloop.data.records import Tally
from everloop.data.row_diff import diff_rows

if TYPE_CHECKING:
    from everloop.kernel.operations import Kernel

N = 5_000
ROWS = pa.table({"id": np.arange(N), "x": np.arange(N) / 2})


def test_only_rows_of_parts_that_differ_are_read(kernel: Kernel) -> None:
    old = store_rows([ROWS], kernel.objects)
    new = upsert(old, pa.table({"id": [1, N], "x": [9.0, 9.0]}), ["id"], kernel.objects)
    new = remove(new, "WHERE id = 2", kernel.objects)

    found = diff_rows(old, new, kernel.objects, keys=["id"])

    assert (found.added, found.removed, found.changed, found.compared) == (1, 1, 1, 4)
    assert found.changed_columns == {"x": 1}
    assert found.sample[0].before == {"id": 1, "x": 0.5}
    back = diff_rows(new, old, kernel.objects, keys=["id"])
    assert (back.added, back.removed, back.changed) == (1, 1, 1)


def test_tables_that_share_no_part_are_compared_whole(kernel: Kernel) -> None:
    old = store_rows([ROWS], kernel.objects)
    new = store_rows([ROWS.slice(0, N - 1), pa.table({"id": [N - 1], "x": [0.0]})], kernel.objects)

    keyed, whole = diff_rows(old, new, kernel.objects, keys=["id"]), diff_rows(old, new, kernel.objects)

    assert (keyed.added, keyed.removed, keyed.changed) == (0, 0, 1)
    assert (whole.added, whole.removed, whole.changed) == (1, 1, 0)


def test_a_row_that_came_back_is_no_change(kernel: Kernel) -> None:
    old = store_rows([ROWS], kernel.objects)
    new = remove(old, "WHERE id = 7", kernel.objects)
    new = edit(
        new, kernel.objects, removed=np.empty(0, np.int64), removed_tally=Tally(), added=[ROWS.slice(7, 1)]
    )

    assert new.digest == old.digest
    for keys in (["id"], []):
        found = diff_rows(old, new, kernel.objects, keys=keys)
        assert (found.added, found.removed, found.changed, found.sample) == (0, 0, 0, [])


def test_a_version_does_not_differ_from_itself(kernel: Kernel) -> None:
    old = store_rows([ROWS], kernel.objects)

    assert diff_rows(old, old, kernel.objects, keys=["id"]).compared == 0


def test_a_part_that_a_table_holds_twice_counts_twice(kernel: Kernel) -> None:
    old = store_rows([ROWS], kernel.objects)
    new = edit(old, kernel.objects, removed=np.empty(0, np.int64), removed_tally=Tally(), added=[ROWS])

    found = diff_rows(old, new, kernel.objects)

    assert (found.added, found.removed, found.compared) == (N, 0, N)
