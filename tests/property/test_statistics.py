"""Statistics of parts add up to those of the whole, whatever the cut and the order."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.data.profiles import merge_statistics, part_statistics, quantiles, to_profile
from everloop.data.profiles.frequencies import MOST_VALUES, Counts, add_counts
from everloop.data.profiles.statistics import Statistics, decode_statistics, encode_statistics
from everloop.data.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable

rows = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
        # Beyond 1e300 the sum of a few numbers is no float any more.
        st.one_of(st.none(), st.floats(-1e300, 1e300), st.sampled_from([math.nan, math.inf, -math.inf])),
        st.one_of(st.none(), st.text(max_size=6)),
        st.one_of(st.none(), st.booleans()),
        st.one_of(st.none(), st.integers(0, 2**52)),
        st.one_of(st.none(), st.lists(st.integers(0, 9), max_size=3)),
    ),
    max_size=40,
)
FIELDS: list[tuple[str, pa.DataType]] = [
    ("i", pa.int64()),
    ("f", pa.float64()),
    ("s", pa.string()),
    ("b", pa.bool_()),
    ("t", pa.timestamp("us", tz="UTC")),
    ("l", pa.list_(pa.int64())),
]
SCHEMA = pa.schema(FIELDS)


def table_of(values: list[tuple[object, ...]]) -> pa.Table:
    columns = [pa.array([row[index] for row in values], kind) for index, kind in enumerate(SCHEMA.types)]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def statistics_of(table: pa.Table) -> Statistics:
    return part_statistics(Table(arrow=table), threads=1)


def refuse_difference(one: Statistics, other: Statistics) -> None:
    """Everything but means must be the very same."""
    assert one.rows == other.rows
    for left, right in zip(one.columns, other.columns, strict=True):
        for field in left.__struct_fields__:
            if field != "moments":
                assert getattr(left, field) == getattr(right, field), field
        assert left.moments.count == right.moments.count
        # Large numbers of both signs cancel, so the mean is as sharp as their size allows, not as its own.
        spread = math.sqrt(right.moments.squares / max(right.moments.count, 1))
        allowed = 1e-9 if not math.isfinite(spread) else 1e-9 + 1e-12 * spread
        assert left.moments.mean == pytest.approx(right.moments.mean, rel=1e-9, abs=allowed, nan_ok=True)


@settings(deadline=None, max_examples=60)
@given(rows, st.lists(st.integers(0, 40), max_size=4), st.randoms(use_true_random=False))
def test_any_cut_and_order_of_parts_has_the_statistics_of_the_whole(
    values: list[tuple[object, ...]], cuts: list[int], random: object
) -> None:
    table = table_of(values)
    edges = [0, *sorted(min(cut, table.num_rows) for cut in cuts), table.num_rows]
    parts = [statistics_of(table.slice(start, end - start)) for start, end in pairwise(edges)]
    random.shuffle(parts)  # type: ignore[attr-defined]

    refuse_difference(merge_statistics(parts), statistics_of(table))


@settings(deadline=None, max_examples=40)
@given(rows, rows, rows)
def test_merging_is_associative(
    a: list[tuple[object, ...]], b: list[tuple[object, ...]], c: list[tuple[object, ...]]
) -> None:
    first, second, third = (statistics_of(table_of(values)) for values in (a, b, c))

    refuse_difference(
        merge_statistics([merge_statistics([first, second]), third]),
        merge_statistics([first, merge_statistics([second, third])]),
    )


@settings(deadline=None, max_examples=40)
@given(rows)
def test_stored_statistics_come_back(values: list[tuple[object, ...]]) -> None:
    found = statistics_of(table_of(values))

    again = decode_statistics(encode_statistics(found))

    assert encode_statistics(again) == encode_statistics(found)


SHAPES: dict[str, Callable[[np.random.Generator, int], quantiles.Floats]] = {
    "normal": lambda generator, size: generator.normal(size=size),
    "heavy tail": lambda generator, size: generator.pareto(0.4, size=size),
    "few values": lambda generator, size: generator.integers(0, 700, size).astype(float),
    "mostly zero": lambda generator, size: np.where(generator.random(size) < 0.6, 0, generator.random(size)),
    "ascending": lambda _, size: np.arange(size, dtype=float),
}


@settings(deadline=None, max_examples=25)
@given(
    st.sampled_from(sorted(SHAPES)),
    st.lists(st.integers(1, 60_000), min_size=1, max_size=12),
    st.integers(0, 2**32 - 1),
)
def test_quantiles_of_merged_parts_miss_by_at_most_what_they_state(
    shape: str, sizes: list[int], seed: int
) -> None:
    generator = np.random.default_rng(seed)
    parts = [SHAPES[shape](generator, size) for size in sizes]
    whole = np.sort(np.concatenate(parts))

    merged = quantiles.merge([quantiles.points_of(np.sort(part)) for part in parts], most=512, kept=512)

    assert merged.error <= 0.005 * whole.size
    assert merged.weights.sum() == whole.size
    for level, value in enumerate(quantiles.quantiles(merged, 50)):
        wanted = max(1, -(-level * whole.size // 50))
        below, at_most = np.searchsorted(whole, value, "left"), np.searchsorted(whole, value, "right")
        assert below - merged.error < wanted <= at_most + merged.error


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.dictionaries(st.integers(0, 3_000).map(str), st.integers(1, 50), max_size=1_400),
        min_size=1,
        max_size=4,
    )
)
def test_a_true_count_lies_between_the_count_kept_and_that_plus_the_error(
    parts: list[dict[str, int]],
) -> None:
    truth: dict[str, int] = {}
    for part in parts:
        for value, count in part.items():
            truth[value] = truth.get(value, 0) + count

    found = add_counts([add_counts([Counts(part)]) for part in parts])

    assert len(found.values) <= MOST_VALUES
    for value, count in truth.items():
        kept = found.values.get(value, 0)
        assert kept <= count <= kept + found.error


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 200_000), st.integers(0, 1_000))
def test_the_number_of_different_values_is_within_eight_percent(size: int, start: int) -> None:
    values = np.arange(start, start + size) * 7
    found = to_profile(statistics_of(pa.table({"x": values})), "b3:0").columns[0]

    assert found.distinct == pytest.approx(size, rel=0.08)
