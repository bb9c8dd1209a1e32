"""The digest of a table depends on its rows, and neither on their order nor on the way they came."""

from __future__ import annotations

from itertools import pairwise

import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from everloop.data.contents import columns_of, normalise
from everloop.data.records import Tally
from everloop.data.rows import content_digest, hash_rows, sequence_digest, tally

rows = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
        st.one_of(st.none(), st.floats()),
        st.one_of(
            st.none(), st.text(max_size=8), st.sampled_from(["", "long " * 19, "long " * 20, "é" * 200])
        ),
        st.one_of(st.none(), st.booleans()),
    ),
    max_size=30,
)
FIELDS: list[tuple[str, pa.DataType]] = [
    ("i", pa.int64()),
    ("f", pa.float64()),
    ("s", pa.string()),
    ("b", pa.bool_()),
]
SCHEMA = pa.schema(FIELDS)


def table_of(values: list[tuple[object, ...]]) -> pa.Table:
    columns = [pa.array([row[index] for row in values], kind) for index, kind in enumerate(SCHEMA.types)]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def digest_of(tables: list[pa.Table]) -> str:
    return content_digest(columns_of(tables[0]), sum((tally(hash_rows(table)) for table in tables), Tally()))


def order_of(tables: list[pa.Table]) -> str:
    return sequence_digest(hash_rows(table) for table in tables)


@settings(deadline=None, max_examples=150)
@given(rows, st.lists(st.integers(0, 30), max_size=3))
@example([(None, None, "", None), (None, None, "0", None)], [1])
@example([(None, None, "x" * 200, None), (None, None, "0", None)], [1])
def test_any_cut_into_parts_has_the_same_digests(values: list[tuple[object, ...]], cuts: list[int]) -> None:
    table = table_of(values)
    edges = [0, *sorted(min(cut, table.num_rows) for cut in cuts), table.num_rows]
    parts = [table.slice(start, end - start) for start, end in pairwise(edges)]

    assert digest_of(parts) == digest_of([table])
    assert order_of(parts) == order_of([table])


@settings(deadline=None, max_examples=60)
@given(rows)
def test_the_layout_in_memory_does_not_matter(values: list[tuple[object, ...]]) -> None:
    table = table_of(values)
    encoded = table.set_column(2, "s", table.column("s").dictionary_encode())
    wide = table.set_column(2, "s", table.column("s").cast(pa.large_string()))

    assert {digest_of([normalise(other)]) for other in (table, encoded, wide)} == {digest_of([table])}


@settings(deadline=None, max_examples=60)
@given(rows, rows)
def test_other_rows_have_another_digest(one: list[tuple[object, ...]], two: list[tuple[object, ...]]) -> None:
    # repr tells 0.0 from -0.0 and calls every NaN alike, as the digests do
    is_same = sorted(map(repr, one)) == sorted(map(repr, two))
    assert (digest_of([table_of(one)]) == digest_of([table_of(two)])) == is_same
    assert (order_of([table_of(one)]) == order_of([table_of(two)])) == (repr(one) == repr(two))


@settings(deadline=None, max_examples=30)
@given(rows, st.randoms(use_true_random=False))
def test_the_order_of_rows_is_no_content(values: list[tuple[object, ...]], random: object) -> None:
    mixed = list(values)
    random.shuffle(mixed)  # type: ignore[attr-defined]

    assert digest_of([table_of(values)]) == digest_of([table_of(mixed)])
