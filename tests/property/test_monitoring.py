"""Laws of monitoring: counts of any partition add up to the same counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from everloop.monitoring.drift import js_distance, pooled
from everloop.monitoring.histograms import add, count, nothing, reference_of

NUMBERS = st.lists(st.none() | st.floats() | st.sampled_from([0.0, 1.0, -1.0]), max_size=80)
TEXTS = st.lists(st.none() | st.sampled_from(["a", "b", "c", "", "d"]), max_size=80)
CUTS = st.lists(st.integers(0, 80), max_size=4)


@given(NUMBERS, NUMBERS, CUTS)
def test_numbers_counted_in_parts_are_counted_the_same(
    sample: list[float | None], current: list[float | None], cuts: list[int]
) -> None:
    bins = reference_of("a", "number", pa.array(sample, pa.float64())).bins
    whole = pa.array(current, pa.float64())
    total = nothing(bins)
    for part in _parts(whole, cuts):
        total = add(total, count(bins, part))
    assert total == count(bins, whole)
    assert total.rows == len(current)


@given(TEXTS, TEXTS, CUTS)
def test_categories_counted_in_parts_are_counted_the_same(
    sample: list[str | None], current: list[str | None], cuts: list[int]
) -> None:
    bins = reference_of("a", "category", pa.array(sample, pa.string())).bins
    whole = pa.array(current, pa.string())
    total = nothing(bins)
    for part in _parts(whole, cuts):
        total = add(total, count(bins, part))
    assert total == count(bins, whole)
    assert total.rows == len(current)


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=1, max_size=30))
def test_pooling_keeps_every_row_and_never_widens_the_distance(pairs: list[tuple[int, int]]) -> None:
    old, new = (np.array(counts, dtype=float) for counts in zip(*pairs, strict=True))
    if not old.sum() or not new.sum():
        return
    old_pooled, new_pooled = pooled(old, new)
    assert (old_pooled.sum(), new_pooled.sum()) == (old.sum(), new.sum())
    assert js_distance(old_pooled, new_pooled) <= js_distance(old, new) + 1e-9


def _parts(whole: pa.Array[Any], cuts: list[int]) -> list[pa.Array[Any]]:
    ends = [*sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    starts = [0, *ends[:-1]]
    return [whole.slice(start, end - start) for start, end in zip(starts, ends, strict=True)]
