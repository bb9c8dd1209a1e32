"""Bins are frozen on a sample and count every row exactly once."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from everloop.monitoring.histograms import add, category_bins, count, nothing, number_bins, reference_of
from everloop.monitoring.records import Bins


def test_a_column_of_few_values_has_a_bin_for_each() -> None:
    bins = number_bins("weekday", np.array([1.0, 2, 2, 7, np.nan]))
    assert bins.edges == [1.0, 2.0, 7.0]
    assert count(bins, pa.array([0.0, 1, 2, 2, 3, 7, 8, None])).counts == [1, 1, 2, 2, 1, 1]


def test_a_continuous_column_has_fifty_bins_of_equal_shares() -> None:
    found = reference_of("a", "number", pa.array(np.random.default_rng(0).normal(size=10_000)))
    below, at_minimum, *inside, above, empty = found.counts.counts
    assert (below, at_minimum, above, empty) == (0, 1, 0, 0)
    assert len(inside) == 50
    assert set(inside) <= {199, 200}


def test_what_is_no_number_is_no_value_and_infinity_is_out_of_range() -> None:
    bins = Bins(name="a", kind="number", edges=[0.0, 1.0])
    column = pa.array([float("nan"), None, float("inf"), float("-inf"), 0.5])
    assert count(bins, column).counts == [1, 0, 1, 1, 2]


def test_a_column_that_was_always_empty_still_counts() -> None:
    found = reference_of("a", "number", pa.nulls(3))
    assert found.counts.counts == [0, 0, 3]
    assert count(found.bins, pa.array([1.0, None])).counts == [0, 1, 1]


def test_values_never_seen_are_counted_apart() -> None:
    found = reference_of("carrier", "category", pa.array(["AA", "B6", "AA", None]))
    assert (found.bins.categories, found.counts.counts) == (["AA", "B6"], [2, 1, 0, 1])
    current = count(found.bins, pa.array(["AA", "ZZ", "ZZ", None]))
    assert (current.counts, current.unseen, current.rows) == ([1, 0, 0, 1], 2, 4)


def test_beyond_a_thousand_values_the_rest_is_one_bin() -> None:
    column = pa.array([*(f"v{number:04}" for number in range(1_200)), "v0001"])
    bins = category_bins("tail", column)
    found = count(bins, column)
    assert (len(bins.categories), bins.is_open, bins.categories[0]) == (1_000, True, "v0001")
    assert (found.counts[-2], found.unseen, found.rows) == (200, 0, 1_201)


def test_truth_values_and_whole_numbers_are_categories_too() -> None:
    flags = pa.chunked_array([[True, False], [True]])
    assert category_bins("flag", flags).categories == ["true", "false"]
    assert count(category_bins("code", pa.array([3, 3, 4])), pa.array([4, 5])).unseen == 1


def test_parts_on_other_bins_cannot_be_added() -> None:
    with pytest.raises(ValueError, match="shorter"):
        add(nothing(Bins(name="a", kind="number", edges=[0.0])), nothing(Bins(name="a", kind="number")))
