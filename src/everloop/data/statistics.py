"""Statistics of a version: those of its parts, each taken once and kept, and merged.

Tests: tests/unit/data/test_service.py.
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import sqlalchemy as sa

from everloop.data.parts import open_piece
from everloop.data.profiles import (
    OutdatedStatisticsError,
    Statistics,
    decode_statistics,
    encode_statistics,
    merge_statistics,
    to_profile,
)
from everloop.data.profiles import part_statistics as take_statistics
from everloop.data.records import ColumnChange, Tally
from everloop.data.table import Table
from everloop.data.tables import part_statistics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from everloop.data.records import ColumnProfile, Part, Profile, TableReference
    from everloop.kernel.operations import Kernel

_AT_ONCE = 500


def profile_of(content: TableReference, kernel: Kernel) -> Profile:
    """Return the profile of a stored table; parts that were seen before cost nothing."""
    known = _known(content.parts, kernel)
    fresh = {part.key: _take(content, part, kernel) for part in content.parts if part.key not in known}
    if fresh:
        _keep(fresh, kernel)
    merged = merge_statistics([(known | fresh)[part.key] for part in content.parts])
    return to_profile(merged, content.digest)


def known_profile(content: TableReference, kernel: Kernel) -> Profile | None:
    """Return the profile of a stored table when the statistics of every part are kept already; nothing is read or written."""
    known = _known(content.parts, kernel)
    if not content.parts or any(part.key not in known for part in content.parts):
        return None
    return to_profile(merge_statistics([known[part.key] for part in content.parts]), content.digest)


def compare_profiles(old: Profile, new: Profile) -> list[ColumnChange]:
    """Return how each column of both moved, the farthest first."""
    others = {column.name: column for column in new.columns}
    found = [_change(column, others[column.name]) for column in old.columns if column.name in others]
    return sorted(found, key=lambda change: -(change.distance or 0.0))


def _known(parts: Sequence[Part], kernel: Kernel) -> dict[str, Statistics]:
    found: dict[str, Statistics] = {}
    keys = [part.key for part in parts]
    with kernel.catalog.read() as connection:
        for start in range(0, len(keys), _AT_ONCE):
            query = sa.select(part_statistics).where(
                part_statistics.c.part.in_(keys[start : start + _AT_ONCE])
            )
            for row in connection.execute(query):
                with suppress(OutdatedStatisticsError):
                    found[row.part] = decode_statistics(row.statistics)
    return found


def _take(content: TableReference, part: Part, kernel: Kernel) -> Statistics:
    alone = msgspec.structs.replace(content, parts=[part], tally=Tally(part.live))
    return take_statistics(Table(reference=alone, pieces=[open_piece(part, kernel.objects)]))


def _keep(fresh: dict[str, Statistics], kernel: Kernel) -> None:
    with kernel.catalog.transaction() as connection:
        for key, statistics in fresh.items():
            connection.execute(sa.delete(part_statistics).where(part_statistics.c.part == key))
            values = {"part": key, "statistics": encode_statistics(statistics)}
            connection.execute(part_statistics.insert().values(values))


def _change(old: ColumnProfile, new: ColumnProfile) -> ColumnChange:
    return ColumnChange(
        name=old.name,
        nulls_old=old.nulls / max(old.rows, 1),
        nulls_new=new.nulls / max(new.rows, 1),
        distinct_old=old.distinct,
        distinct_new=new.distinct,
        mean_old=old.mean,
        mean_new=new.mean,
        distance=_distance(old, new),
    )


def _distance(old: ColumnProfile, new: ColumnProfile) -> float | None:
    """Return the Jensen-Shannon distance of two columns, from edges or top values; None for other kinds."""
    if old.kind != new.kind:
        return None
    if old.kind == "number" and len(old.edges) > 1 and len(new.edges) > 1:
        return _jensen_shannon(_shares(old, old.edges), _shares(new, old.edges))
    if old.kind in ("category", "boolean") and old.top and new.top:
        values = sorted({item.value for item in [*old.top, *new.top]})
        sides = [{item.value: item.count for item in column.top} for column in (old, new)]
        counts = [[side.get(value, 0) for value in values] for side in sides]
        return _jensen_shannon(np.array(counts[0], float), np.array(counts[1], float))
    return None


def _shares(column: ColumnProfile, borders: Sequence[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the shares of a column between borders, below and above, read off its own quantiles."""
    edges = np.array(column.edges)
    levels = np.linspace(0, 1, len(edges))
    below = np.interp(np.array(borders), edges, levels, left=0.0, right=1.0)
    return np.diff(below, prepend=0.0, append=1.0)


def _jensen_shannon(
    one: np.ndarray[tuple[int], np.dtype[np.float64]], other: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> float:
    p, q = one / one.sum(), other / other.sum()
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        gains = [np.where(side > 0, side * np.log2(side / middle), 0.0).sum() for side in (p, q)]
    return math.sqrt(max(0.0, float(sum(gains)) / 2))
