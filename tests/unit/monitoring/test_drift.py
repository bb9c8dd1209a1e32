"""Drift is an effect beyond delta: clean windows stay silent, twice delta is found."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from everloop.monitoring import histograms
from everloop.monitoring.drift import (
    compare_column,
    compare_columns,
    discovery_limit,
    js_distance,
    overall,
    p_value,
    pooled,
    stability_index,
)
from everloop.monitoring.records import Bins, ColumnReference, Counts

if TYPE_CHECKING:
    from everloop.monitoring.histograms import FloatArray

DELTA = 0.05
CATEGORIES = 100
ZIPF = 1 / np.arange(1, CATEGORIES + 1)
NAMES = np.array([f"c{number:02}" for number in range(CATEGORIES)])


def sample(generator: np.random.Generator, rows: int, *, shift: float = 0.0) -> dict[str, pa.Array[Any]]:
    """Draw 15 columns: 12 of numbers, of which the first is shifted, two with few values, one of 100 categories."""
    columns: dict[str, pa.Array[Any]] = {
        f"n{place}": pa.array(generator.normal(size=rows)) for place in range(12)
    }
    columns["n0"] = pa.array(generator.normal(shift, 1.0, size=rows))
    columns["weekday"] = pa.array(generator.integers(1, 8, rows))
    columns["rain"] = pa.array(np.where(generator.random(rows) < 0.9, 0.0, generator.exponential(size=rows)))
    columns["dest"] = pa.array(NAMES[generator.choice(CATEGORIES, rows, p=ZIPF / ZIPF.sum())])
    return columns


def frozen(columns: dict[str, pa.Array[Any]]) -> list[ColumnReference]:
    return [
        histograms.reference_of(name, "category" if name == "dest" else "number", column)
        for name, column in columns.items()
    ]


def share_of_alarms(rows: int, *, windows: int, shift: float = 0.0, seed: int = 0) -> float:
    generator = np.random.default_rng(seed)
    references = frozen(sample(generator, 20_000))
    alarms = 0
    for _ in range(windows):
        current = sample(generator, rows, shift=shift)
        counts = [histograms.count(column.bins, current[column.bins.name]) for column in references]
        alarms += overall(compare_columns(references, counts, delta=DELTA)) == "drift"
    return alarms / windows


@pytest.mark.parametrize(("rows", "windows"), [(500, 100), (5_000, 100)])
def test_clean_windows_alarm_in_at_most_one_of_twenty(rows: int, windows: int) -> None:
    limit = 0.05 + 2 * sqrt(0.05 * 0.95 / windows)
    assert share_of_alarms(rows, windows=windows) <= limit


def test_twice_delta_is_found_in_nineteen_of_twenty_windows() -> None:
    # A shift of 0.25 standard deviations is a distance of 0.10 to 0.11 on fifty bins.
    assert share_of_alarms(5_000, windows=60, shift=0.25) >= 0.95


def test_an_effect_of_exactly_delta_is_a_discovery_in_one_of_twenty() -> None:
    generator = np.random.default_rng(3)
    even = np.full(50, 1 / 50)
    tilted = even * (1 + _tilt_of(DELTA) * np.linspace(-1, 1, 50))
    found = [
        p_value(
            generator.multinomial(20_000, even).astype(float),
            generator.multinomial(5_000, tilted).astype(float),
            delta=DELTA,
        )
        for _ in range(400)
    ]
    rejected = float(np.mean(np.array(found) <= 0.05))
    assert 0.02 <= rejected <= 0.05 + 2 * sqrt(0.05 * 0.95 / 400)


def _tilt_of(distance: float) -> float:
    even, line = np.full(50, 1 / 50), np.linspace(-1, 1, 50)
    tilts = np.linspace(0.01, 0.9, 2_000)
    gaps = [abs(js_distance(even, even * (1 + tilt * line)) - distance) for tilt in tilts]
    return float(tilts[int(np.argmin(gaps))])


@pytest.mark.parametrize("rows", [2_000, 5_000])
def test_a_thousand_rare_categories_alarm_only_without_pooling(rows: int) -> None:
    # At 5,000 rows five are expected a bin: choosing the kept bins by the reference alone alarmed in nine of ten windows.
    generator = np.random.default_rng(1)
    old = generator.multinomial(40_000, np.full(2_000, 1 / 2_000)).astype(float)
    raw, kept = [], []
    for _ in range(40):
        new = generator.multinomial(rows, np.full(2_000, 1 / 2_000)).astype(float)
        raw.append(p_value(old, new, delta=0.0))
        kept.append(p_value(*pooled(old, new), delta=0.0))
    assert np.mean(np.array(raw) < 0.01) > 0.5
    assert np.mean(np.array(kept) < 0.01) <= 0.1


def test_a_column_of_nothing_but_rare_values_is_insufficient() -> None:
    bins = Bins(name="c", kind="category", categories=[f"v{number}" for number in range(300)])
    old, new = Counts(counts=[10] * 300 + [0, 0]), Counts(counts=[1] * 300 + [0, 0])
    assert compare_column(bins, old, new, delta=DELTA).verdict == "insufficient"


def test_the_distance_has_its_known_values() -> None:
    assert js_distance(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == 1.0
    assert js_distance(np.array([3.0, 1.0]), np.array([6.0, 2.0])) == 0.0
    # Shares 1/2, 1/2 against 1/4, 3/4: 1/2 (1/2 log2(4/3) + 1/2 log2(4/5)) + 1/2 (1/4 log2(2/3) + 3/4 log2(6/5)).
    assert js_distance(np.array([1.0, 1.0]), np.array([1.0, 3.0])) ** 2 == pytest.approx(0.0487949, abs=1e-6)


def test_an_empty_bin_counts_as_half_a_row() -> None:
    # Counts 2 and 0 become 2 and 1/2: shares 0.8 and 0.2 against 0.5 and 0.5.
    found = stability_index(np.array([1.0, 1.0]), np.array([2.0, 0.0]))
    assert found == pytest.approx(0.3 * np.log(1.6) - 0.3 * np.log(0.4))


def test_rare_bins_are_pooled_until_five_rows_are_expected() -> None:
    reference: FloatArray = np.array([500.0, 400.0, 94.0, 4.0, 2.0])
    old, new = pooled(reference, reference / 10)
    assert (old.tolist(), new.tolist()) == ([500.0, 400.0, 100.0], [50.0, 40.0, 10.0])


def test_empty_bins_vanish() -> None:
    old, new = pooled(np.array([0.0, 60.0, 40.0]), np.array([0.0, 30.0, 70.0]))
    assert (old.tolist(), new.tolist()) == ([40.0, 60.0], [70.0, 30.0])


def test_few_rows_are_insufficient_and_never_green() -> None:
    bins = Bins(name="a", kind="number", edges=[float(edge) for edge in range(20)])
    old = Counts(counts=[0, *[100] * 20, 0, 0])
    few = Counts(counts=[0, *[5] * 20, 0, 0])
    found = compare_columns([ColumnReference(bins=bins, counts=old)], [few], delta=DELTA)
    assert (found[0].verdict, found[0].p_value, overall(found)) == ("insufficient", None, "insufficient")


def test_distances_from_the_bins_have_their_known_values() -> None:
    bins = Bins(name="a", kind="number", edges=[0.0, 1.0])
    found = compare_column(
        bins,
        Counts(counts=[0, 50, 50, 0, 0]),
        Counts(counts=[0, 25, 75, 0, 0]),
        delta=DELTA,
    )
    # A quarter of the mass moves by 1, which is two standard deviations of a fair coin.
    assert (found.ks, found.wasserstein) == (0.25, 0.5)


def test_shares_of_quality_are_told_apart_from_the_distance() -> None:
    bins = Bins(name="c", kind="category", categories=["a", "b"])
    old, new = Counts(counts=[90, 10, 0, 0]), Counts(counts=[45, 5, 0, 25], unseen=25)
    found = compare_column(bins, old, new, delta=DELTA)
    assert (found.null_share, found.reference_null_share, found.unseen_share) == (0.25, 0.0, 25 / 75)
    numbers = Bins(name="n", kind="number", edges=[0.0])
    outside = compare_column(numbers, Counts(counts=[0, 9, 0, 1]), Counts(counts=[1, 6, 1, 2]), delta=DELTA)
    assert outside.out_of_range_share == 0.25


def test_discoveries_follow_benjamini_and_hochberg() -> None:
    # Their example of 1995: of these 15 the first four are discoveries at 5 %.
    published = [
        0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.324, 0.4262, 0.5719, 0.6528, 0.759, 1.0,
    ]  # fmt: skip
    assert discovery_limit(published) == 0.0095
    assert discovery_limit([0.2, 0.9]) == -1.0
    assert discovery_limit([]) == -1.0
