"""Weighted points that stand for a sample of numbers and know how far off their quantiles may be.

Thinning replaces groups of neighbours by their middle, so each knows its greatest error in rows and errors add:
the whole is deterministic, merges in any order, and never needs all numbers at once. A sample of few different
numbers is kept whole. Laws: tests/property/test_statistics.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

Floats: TypeAlias = NDArray[np.float64]

POINTS = 512
# Beyond it neighbouring integers are one float.
EXACT = 2**53
# So many of one level become one of the next: ten billion rows take five levels, each adding 1/1024.
_FAN_IN = 16
# A merge keeps this many points before it thins, so that a thousand appends do not add up errors.
_MERGED_POINTS = 8_192
_KEPT_POINTS = 2_048


class Points(NamedTuple):
    """Ascending different numbers with the rows each stands for.

    Attributes:
        values: shape (k,).
        weights: shape (k,), sum n.
        error: rows by which the rank of a number may be off.
    """

    values: Floats
    weights: NDArray[np.int64]
    error: int


def no_points() -> Points:
    """Return the points of no numbers."""
    return Points(np.zeros(0), np.zeros(0, dtype=np.int64), 0)


def points_of(ordered: Floats) -> Points:
    """Return at most 512 points of ascending finite numbers."""
    is_first = ordered[1:] != ordered[:-1]
    if np.count_nonzero(is_first) < POINTS:
        return _joined(ordered, np.ones(ordered.size, dtype=np.int64), 0)
    borders = np.arange(POINTS + 1) * ordered.size // POINTS
    weights = np.diff(borders)
    middles = ordered[borders[:-1] + weights // 2]
    return _joined(middles, weights, int(weights.max() + 1) // 2)


def merge(samples: Sequence[Points], *, most: int = _MERGED_POINTS, kept: int = _KEPT_POINTS) -> Points:
    """Return the points of samples together; more than `most` are thinned to `kept`."""
    values = np.concatenate([sample.values for sample in samples])
    weights = np.concatenate([sample.weights for sample in samples])
    order = np.argsort(values, kind="stable")
    together = _joined(values[order], weights[order], sum(sample.error for sample in samples))
    return _thinned(together, kept) if together.values.size > most else together


def quantiles(points: Points, count: int) -> Floats:
    """Return `count + 1` numbers of the sample: the smallest with a share of at least 0/count, 1/count, ... below or at it."""
    if not points.values.size:
        return np.zeros(0)
    ranks = np.cumsum(points.weights)
    wanted = np.maximum(1, -(-np.arange(count + 1) * ranks[-1] // count))
    found: Floats = points.values[np.searchsorted(ranks, wanted, side="left")]
    return found


class Levels:
    """Points of a stream: sixteen samples of one level become one of the next, so memory and error grow with the logarithm."""

    def __init__(self) -> None:
        """Begin without numbers."""
        self._levels: list[list[Points]] = []

    def add(self, points: Points) -> None:
        """Take in the points of further numbers."""
        level = 0
        while True:
            if level == len(self._levels):
                self._levels.append([])
            self._levels[level].append(points)
            if len(self._levels[level]) < _FAN_IN:
                return
            points = merge(self._levels[level], most=POINTS, kept=POINTS)
            self._levels[level] = []
            level += 1

    def finish(self) -> Points:
        """Return the points of all numbers."""
        pending = [points for level in self._levels for points in level]
        return merge(pending, most=POINTS, kept=POINTS) if pending else no_points()


def _joined(values: Floats, weights: NDArray[np.int64], error: int) -> Points:
    """Give equal neighbours one point."""
    if not values.size:
        return Points(values, weights, error)
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    return Points(values[starts], np.add.reduceat(weights, starts), error)


def _thinned(points: Points, kept: int) -> Points:
    ranks = np.cumsum(points.weights)
    borders = np.arange(kept + 1) * int(ranks[-1]) // kept
    weights = np.diff(borders)
    places = np.searchsorted(ranks, borders[:-1] + weights // 2, side="right")
    return _joined(points.values[places], weights, points.error + int(weights.max() + 1) // 2)
