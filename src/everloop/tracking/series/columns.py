"""Points of one metric as three columns, on the wire and in memory.

The client packs with the standard library alone; numpy is used where points are kept and read. Tests: tests/unit/tracking/series/test_columns.py.
"""

from __future__ import annotations

import sys
from array import array
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from everloop.core.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    import numpy.typing as npt

_WIDTH = 8


class BadColumnsError(InvalidInputError):
    """The columns of a series do not fit each other."""

    code = "tracking.bad-columns"


class PointColumns(msgspec.Struct, frozen=True, kw_only=True):
    """Points of one metric as they travel: three columns of n little-endian numbers of 8 bytes (base64 in JSON).

    Attributes:
        name: of the metric.
        steps: n doubles; any order, no NaN.
        times: n whole numbers, microseconds since 1970.
        values: n doubles; NaN and infinities are kept.
    """

    name: str
    steps: bytes
    times: bytes
    values: bytes

    def __len__(self) -> int:
        """Return the number of points."""
        return len(self.steps) // _WIDTH


class Columns(NamedTuple):
    """Points of one metric in memory: three arrays of shape (n,)."""

    steps: npt.NDArray[np.float64]
    times: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]

    def part(self, first: int, end: int) -> Columns:
        """Return the points from one place up to another, exclusive of it."""
        return Columns(self.steps[first:end], self.times[first:end], self.values[first:end])


def pack(name: str, steps: Sequence[float], times: Sequence[int], values: Sequence[float]) -> PointColumns:
    """Return points ready to travel.

    Args:
        name: of the metric.
        steps: n places on the axis.
        times: n times in microseconds since 1970.
        values: n numbers.
    """
    return PointColumns(name=name, steps=_raw("d", steps), times=_raw("q", times), values=_raw("d", values))


def pack_arrays(name: str, columns: Columns) -> PointColumns:
    """Return columns ready to travel."""
    steps, times, values = (column.tobytes() for column in columns)
    return PointColumns(name=name, steps=steps, times=times, values=values)


def unpack(points: PointColumns) -> Columns:
    """Return the columns as arrays.

    Raises:
        BadColumnsError: lengths differ, or a step is no number.
    """
    import numpy as np

    lengths = {len(points.steps), len(points.times), len(points.values)}
    if len(lengths) > 1 or len(points.steps) % _WIDTH:
        raise BadColumnsError(
            f"the columns of {points.name!r} have {sorted(lengths)} bytes. Send as many steps, times and values, 8 bytes each.",
            subject=points.name,
        )
    columns = Columns(
        np.frombuffer(points.steps, "<f8"),
        np.frombuffer(points.times, "<i8"),
        np.frombuffer(points.values, "<f8"),
    )
    if not np.isfinite(columns.steps).all():
        raise BadColumnsError(
            f"a step of {points.name!r} is not finite. Steps are places on an axis; log NaN as a value.",
            subject=points.name,
        )
    return columns


def join(pieces: Sequence[Columns]) -> Columns:
    """Return pieces of one series as one, in the order of step and time, each exact repetition once."""
    import numpy as np

    if not pieces:
        return Columns(np.empty(0), np.empty(0, np.int64), np.empty(0))
    steps, times, values = (np.concatenate(column) for column in zip(*pieces, strict=True))
    if _is_sorted(steps, times):
        return Columns(steps, times, values)
    order = np.lexsort((values, times, steps))
    return _unique(Columns(steps[order], times[order], values[order]))


def between(columns: Columns, low: float | None, high: float | None) -> Columns:
    """Return the points of sorted columns whose steps lie in [low, high]."""
    first = 0 if low is None else int(columns.steps.searchsorted(low, "left"))
    end = len(columns.steps) if high is None else int(columns.steps.searchsorted(high, "right"))
    return columns.part(first, end)


def _is_sorted(steps: npt.NDArray[np.float64], times: npt.NDArray[np.int64]) -> bool:
    """Say whether the points are in order and no two share step and time (so that none repeats another)."""
    later = steps[1:] > steps[:-1]
    if later.all():
        return True
    return bool((later | ((steps[1:] == steps[:-1]) & (times[1:] > times[:-1]))).all())


def _unique(columns: Columns) -> Columns:
    import numpy as np

    steps, times, values = columns
    same = (steps[1:] == steps[:-1]) & (times[1:] == times[:-1])
    same &= values[1:].view(np.int64) == values[:-1].view(np.int64)
    if not same.any():
        return columns
    keep = np.concatenate(([True], ~same))
    return Columns(steps[keep], times[keep], values[keep])


def _raw(kind: str, numbers: Iterable[float]) -> bytes:
    column = numbers if isinstance(numbers, array) else array(kind, numbers)
    if sys.byteorder == "big":
        column = column[:]
        column.byteswap()
    return column.tobytes()
