"""Statistics of every kind of column, from rows in memory and from stored parts."""

from __future__ import annotations

import zlib
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from everloop.data.profiles import (
    OutdatedStatisticsError,
    StatisticsMismatchError,
    decode_statistics,
    distinct,
    encode_statistics,
    merge_statistics,
    part_statistics,
    scan,
    to_profile,
)
from everloop.data.table import Table

if TYPE_CHECKING:
    from everloop.data.records import ColumnProfile


def column_of(values: Any, kind: Any = None) -> ColumnProfile:
    table = Table(arrow=pa.table({"x": pa.array(values, kind)}))
    return to_profile(part_statistics(table), "b3:0").columns[0]


def test_infinities_enter_no_figure() -> None:
    found = column_of([1.0, 3.0, float("inf"), float("-inf"), float("nan"), None])

    assert (found.infinities, found.nans, found.nulls) == (2, 1, 1)
    assert (found.minimum, found.maximum, found.mean, found.distinct) == (1.0, 3.0, 2.0, 2)


def test_a_column_without_finite_numbers_has_no_figures() -> None:
    found = column_of([float("nan"), float("inf")])

    assert (found.minimum, found.mean, found.std, found.edges) == (None, None, None, [])


def test_a_mean_beyond_the_range_of_floats_is_left_out() -> None:
    found = column_of([1.7e308, 1.7e308])

    assert (found.mean, found.std) == (None, None)
    assert found.maximum == 1.7e308


def test_decimals_and_small_integers_are_numbers() -> None:
    assert column_of([Decimal("1.50"), Decimal("2.50")]).mean == 2.0
    assert column_of([1, 2, 255], pa.uint8()).maximum == 255.0


def test_large_integers_that_are_one_float_are_told_apart() -> None:
    assert column_of([2**53, 2**53 + 1, 2**53 + 2]).distinct == 3


def test_text_lengths_are_characters() -> None:
    found = column_of(["", "äö", "abcd", None])

    assert (found.shortest, found.longest, found.mean_length) == (0, 4, 2.0)


def test_a_frequent_text_among_many_is_counted_within_its_error() -> None:
    generator = np.random.default_rng(1)
    texts = [f"user {number}" for number in generator.integers(0, 10**9, 150_000)]
    texts[::10] = ["guest"] * len(texts[::10])

    found = column_of(texts)

    assert found.kind == "text"
    assert found.top[0].value == "guest"
    assert found.top[0].count <= 15_000 <= found.top[0].count + found.top_error
    assert found.top_error < 150
    assert found.distinct == pytest.approx(135_000, rel=0.08)


def test_a_long_text_is_no_category() -> None:
    found = column_of(["x" * 500, "x" * 500])

    assert (found.kind, found.top, found.longest) == ("text", [], 500)


def test_times_before_1970_have_a_range() -> None:
    found = column_of([datetime(1950, 1, 1, tzinfo=UTC), datetime(2013, 1, 1, tzinfo=UTC)])

    assert found.earliest == datetime(1950, 1, 1, tzinfo=UTC)


def test_nested_and_binary_columns_count_different_values() -> None:
    assert column_of([[1, 2], [1, 2], [3], None]).distinct == 2
    assert column_of([{"a": 1}, {"a": 2}]).distinct == 2
    assert column_of([b"a", b"b", b"a"]).distinct == 2


def test_the_number_of_steps_does_not_depend_on_the_arrays_in_memory() -> None:
    values = np.random.default_rng(2).normal(size=200_000)
    whole = pa.table({"x": values})
    pieces = pa.concat_tables([whole.slice(start, 7_001) for start in range(0, 200_000, 7_001)])

    assert encode_statistics(part_statistics(Table(arrow=whole))) == encode_statistics(
        part_statistics(Table(arrow=pieces))
    )


def test_the_median_of_a_large_column_is_within_the_stated_error() -> None:
    values = np.random.default_rng(3).lognormal(size=300_000)

    found = column_of(values)

    rank = np.searchsorted(np.sort(values), found.edges[25]) / values.size
    assert found.quantile_error < 0.005
    assert rank == pytest.approx(0.5, abs=found.quantile_error)
    assert found.std == pytest.approx(values.std(ddof=1))


def test_wide_rows_are_taken_in_small_steps() -> None:
    wide = pa.table({"x": ["y" * 100_000] * 8})

    assert scan._step_rows(wide) == 1_024
    assert scan._step_rows(pa.table({"x": [1, 2]})) == 65_536


def test_a_table_without_rows_has_statistics() -> None:
    empty = part_statistics(
        Table(arrow=pa.table({"x": pa.array([], pa.float64()), "s": pa.array([], pa.string())}))
    )

    merged = merge_statistics([empty, empty])

    assert [column.distinct for column in to_profile(merged, "b3:0").columns] == [0, 0]


def test_parts_with_other_columns_are_refused() -> None:
    one, other = (part_statistics(Table(arrow=pa.table({name: [1]}))) for name in ("a", "b"))

    with pytest.raises(StatisticsMismatchError, match="different columns"):
        merge_statistics([one, other])
    with pytest.raises(StatisticsMismatchError, match="no statistics"):
        merge_statistics([])


@pytest.mark.parametrize(
    "content",
    [b"not compressed", zlib.compress(b"\xc1"), zlib.compress(msgspec.msgpack.encode({"format": 99}))],
)
def test_statistics_of_another_form_are_refused(content: bytes) -> None:
    with pytest.raises(OutdatedStatisticsError, match="Scan the part again"):
        decode_statistics(content)


def test_the_estimate_is_right_from_none_to_a_million() -> None:
    generator = np.random.default_rng(4)
    for size in (0, 1, 10, 1_000, 30_000, 1_000_000):
        registers = distinct.no_registers()
        distinct.observe(registers, generator.integers(0, 2**64, size, dtype=np.uint64))
        assert distinct.estimate(registers) == pytest.approx(size, rel=0.05)
