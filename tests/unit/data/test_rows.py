"""A table's digest depends on columns, types and rows in any order, and on nothing else."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from everloop.data.contents import columns_of, normalise
from everloop.data.rows import content_digest, hash_rows, sequence_digest, tally


def digest(table: pa.Table) -> str:
    table = normalise(table)
    return content_digest(columns_of(table), tally(hash_rows(table)))


def column(values: list[Any], kind: Any = None) -> pa.Table:
    return pa.table({"a": pa.array(values, kind)})


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
        (column([1, 1]), column([1, 2])),
        (column([1]), column([1.0])),
        (column([0]), column([None], pa.int64())),
        (column(["ab", "c"]), column(["a", "bc"])),
        (column([""]), column([None], pa.string())),
        (column([1]), column([1]).rename_columns(["b"])),
        (column([], pa.int64()), column([], pa.string())),
        (column([True, False]), column([True, True])),
        (column([[1], [2]]), column([[1, 2], []])),
        (column([Decimal("1.0")]), column([Decimal("2.0")])),
        (column([{"x": 1}]), column([{"x": 2}])),
    ],
)
def test_other_contents_have_other_digests(one: pa.Table, other: pa.Table) -> None:
    assert digest(one) != digest(other)


def test_the_order_of_rows_is_no_content_and_has_a_digest_of_its_own() -> None:
    one, other = hash_rows(column([1, 2])), hash_rows(column([2, 1]))

    assert digest(column([1, 2])) == digest(column([2, 1]))
    assert sequence_digest([one]) != sequence_digest([other])


def test_values_cannot_change_places_between_rows_or_columns() -> None:
    rows = pa.table({"a": [1, 2], "b": [3, 4]})

    assert digest(rows) != digest(pa.table({"a": [1, 2], "b": [4, 3]}))
    assert digest(rows) != digest(pa.table({"a": [3, 4], "b": [1, 2]}))
    assert digest(pa.table({"a": [1], "b": [2]})) != digest(pa.table({"b": [1], "a": [2]}))


def test_texts_that_share_words_differ() -> None:
    texts = [
        "",
        "a",
        "a\0",
        "abcdefgh",
        "abcdefgh\0",
        "abcdefghabcdefgh",
        "hgfedcbaabcdefgh",
        "x" * 500,
        "x" * 501,
    ]
    hashes = hash_rows(column(texts))

    assert len(set(zip(hashes.a.tolist(), hashes.b.tolist(), strict=True))) == len(texts)


def test_both_lanes_of_a_million_rows_have_no_collision() -> None:
    hashes = hash_rows(pa.table({"a": np.arange(1_000_000), "b": np.zeros(1_000_000)}))

    assert len(np.unique(hashes.a)) == len(np.unique(hashes.b)) == 1_000_000


def test_a_tally_adds_and_subtracts() -> None:
    whole, part = column([1, 2, 3]), column([2])

    assert tally(hash_rows(whole)) - tally(hash_rows(part)) == tally(hash_rows(column([3, 1])))


def test_the_digest_of_a_known_table_stays_what_it_is() -> None:
    rows = pa.table({"id": [1, 2], "x": [0.5, None], "name": ["ada", "a text of more than eight bytes"]})

    assert digest(rows) == "b3:b3476670c1d11bfca563a83eb468b81c8d68c65f3fee6372a5911a0e007a3cb4"
