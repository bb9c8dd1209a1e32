"""A table's digest depends on columns, types and rows in order, and on nothing else."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from everloop.data.contents import (
    CHUNK_ROWS,
    DuplicateColumnError,
    UnnamedColumnError,
    chunk_digests,
    columns_of,
    content_digest,
    normalise,
)

NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)


def digest(table: pa.Table) -> str:
    table = normalise(table)
    return content_digest(columns_of(table), chunk_digests([table]), table.num_rows)


def column(values: list[Any], kind: Any = None) -> pa.Table:
    return pa.table({"a": pa.array(values, kind)})


@pytest.mark.parametrize(
    ("wide", "plain"),
    [
        (pa.array(["x", "y", "x"]).dictionary_encode(), pa.array(["x", "y", "x"])),
        (pa.array(["x", None], pa.large_string()), pa.array(["x", None], pa.string())),
        (
            pa.array([NOON], pa.timestamp("ns", "America/New_York")),
            pa.array([NOON], pa.timestamp("us", "UTC")),
        ),
        (
            pa.array([NOON.replace(tzinfo=None)], pa.timestamp("ms")),
            pa.array([NOON], pa.timestamp("us", "UTC")),
        ),
        (pa.array([date(2013, 1, 1)], pa.date64()), pa.array([date(2013, 1, 1)], pa.date32())),
        (pa.array([None, None], pa.null()), pa.array([None, None], pa.string())),
        (pa.array([[1]], pa.large_list(pa.int64())), pa.array([[1]], pa.list_(pa.int64()))),
    ],
)
def test_layouts_of_the_same_values_become_one(wide: Any, plain: Any) -> None:
    assert normalise(pa.table({"a": wide})) == pa.table({"a": plain})


def test_chunks_slices_and_metadata_do_not_count() -> None:
    whole = pa.table({"a": list(range(10)), "b": [str(n) for n in range(10)]})
    pieces = pa.concat_tables([whole.slice(0, 3), whole.slice(3)])
    inside = pa.concat_tables([whole, whole]).slice(10)

    assert (
        digest(pieces)
        == digest(inside)
        == digest(whole.replace_schema_metadata({"who": "ada"}))
        == digest(whole)
    )


def test_bytes_beneath_nulls_do_not_count() -> None:
    valid = pa.py_buffer(b"\x05")  # rows 0 and 2
    first = pa.Array.from_buffers(pa.int64(), 3, [valid, pa.py_buffer(np.array([1, 77, 3]).tobytes())])
    second = pa.Array.from_buffers(pa.int64(), 3, [valid, pa.py_buffer(np.array([1, 0, 3]).tobytes())])

    assert digest(pa.table({"a": first})) == digest(pa.table({"a": second})) == digest(column([1, None, 3]))


def test_every_nan_is_the_same_and_differs_from_null() -> None:
    other_nan = np.frombuffer(np.array([0x7FF8000000000001], dtype=np.uint64).tobytes(), dtype=np.float64)

    assert digest(pa.table({"a": other_nan})) == digest(column([float("nan")]))
    assert digest(column([float("nan")])) != digest(column([None], pa.float64()))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (column([1, 2]), column([2, 1])),
        (column([1]), column([1.0])),
        (column([0]), column([None], pa.int64())),
        (column(["ab", "c"]), column(["a", "bc"])),
        (column(["", None]), column([None, ""])),
        (column([1]), column([1]).rename_columns(["b"])),
        (column([], pa.int64()), column([], pa.string())),
        (column([True, False]), column([False, True])),
        (column([[1], [2]]), column([[1, 2], []])),
        (column([Decimal("1.0")]), column([Decimal("2.0")])),
        (column([{"x": 1}]), column([{"x": 2}])),
    ],
)
def test_other_contents_have_other_digests(one: pa.Table, other: pa.Table) -> None:
    assert digest(one) != digest(other)


def test_an_append_changes_only_the_last_unfilled_chunk() -> None:
    rows = pa.table({"a": np.arange(CHUNK_ROWS * 2 + 5)})

    before, after = chunk_digests([rows]), chunk_digests([rows, pa.table({"a": [1]})])

    assert (len(before), len(after)) == (3, 3)
    assert (before[:2], before[2] == after[2]) == (after[:2], False)


@pytest.mark.parametrize("names", [["a", "a"], ["Dest", "dest"]])
def test_names_that_sql_could_not_tell_apart_are_refused(names: list[str]) -> None:
    with pytest.raises(DuplicateColumnError, match="must be unique"):
        normalise(pa.Table.from_arrays([pa.array([1])] * 2, names=names))


def test_a_column_without_a_name_is_refused() -> None:
    with pytest.raises(UnnamedColumnError):
        normalise(pa.Table.from_arrays([pa.array([1])], names=[" "]))
