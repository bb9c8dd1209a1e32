"""Read a profile off statistics: what people see, and the edges that are frozen for monitoring.

Tests: tests/unit/data/test_profiles.py.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from everloop.core.clock import from_microseconds
from everloop.data.profiles import distinct, quantiles
from everloop.data.profiles.frequencies import by_frequency
from everloop.data.profiles.scan import part_statistics
from everloop.data.records import ColumnKind, ColumnProfile, Profile, TopValue

if TYPE_CHECKING:
    from everloop.data.profiles.statistics import ColumnStatistics, Statistics
    from everloop.data.table import Table

BINS = 50
TOP = 50


def profile(table: Table) -> Profile:
    """Return the statistics of every column of a table, in one scan."""
    return to_profile(part_statistics(table), table.digest)


def to_profile(statistics: Statistics, digest: str) -> Profile:
    """Return the profile of a content whose parts have these statistics together."""
    columns = [_read(column) for column in statistics.columns]
    return Profile(digest=digest, rows=statistics.rows, columns=columns)


def _read(found: ColumnStatistics) -> ColumnProfile:
    points = found.quantile_points()
    moments, lengths = found.moments, found.lengths
    present = found.rows - found.nulls
    return ColumnProfile(
        name=found.name,
        type=found.type,
        kind=_kind(found),
        rows=found.rows,
        nulls=found.nulls,
        nans=found.nans,
        infinities=found.infinities,
        distinct=_distinct(found),
        minimum=found.minimum,
        maximum=found.maximum,
        mean=moments.mean if moments.count and math.isfinite(moments.mean) else None,
        std=moments.std,
        edges=_edges(found),
        quantile_error=points.error / moments.count if moments.count else 0.0,
        top=_top(found),
        top_error=found.counts.error,
        shortest=lengths.shortest if lengths else None,
        longest=lengths.longest if lengths else None,
        mean_length=lengths.total / present if lengths else None,
        earliest=None if found.earliest_us is None else from_microseconds(found.earliest_us),
        latest=None if found.latest_us is None else from_microseconds(found.latest_us),
    )


def _kind(found: ColumnStatistics) -> ColumnKind:
    if found.kind == "text":
        return "text" if found.counts.error else "category"
    return found.kind


def _distinct(found: ColumnStatistics) -> int:
    if found.kind in ("text", "boolean") and not found.counts.error:
        return len(found.counts.values)
    points = found.quantile_points()
    if found.kind == "number" and not points.error and not (np.abs(points.values) > quantiles.EXACT).any():
        return points.values.size
    return distinct.estimate(np.frombuffer(found.registers, dtype=np.uint8))


def _edges(found: ColumnStatistics) -> list[float]:
    if found.minimum is None or found.maximum is None:
        return []
    middle = quantiles.quantiles(found.quantile_points(), BINS)[1:-1].tolist()
    return sorted({found.minimum, *middle, found.maximum})


def _top(found: ColumnStatistics) -> list[TopValue]:
    ordered = by_frequency(found.counts.values)[:TOP]
    return [TopValue(value=value, count=count) for value, count in ordered if count > found.counts.error]
