"""What a chart shows of a series: per bucket the least, the greatest and the last value, so that a spike of one point is always there.

Summaries of 256 points are kept beside sealed points, so that a long series is drawn without reading it. Laws: tests/property/test_series.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from everloop.tracking.series.columns import Columns

# Points under one kept summary; 45 bytes each make 0.18 bytes a point.
POINTS_PER_SUMMARY = 256
SUMMARY = np.dtype(
    [
        ("first", "<f8"),
        ("end", "<f8"),
        ("least", "<f8"),
        ("greatest", "<f8"),
        ("last", "<f8"),
        ("count", "<u4"),
        ("marks", "u1"),
    ]
)
NAN, PLUS_INFINITY, MINUS_INFINITY = 1, 2, 4


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """A series cut into buckets of equal width in steps; empty buckets are left out. All lists have one length.

    Attributes:
        run, name: whose series it is.
        steps: last step of each bucket.
        least, greatest: of the finite values; None where there is none.
        last: last finite value.
        counts: points in the bucket.
        marks: 1 for NaN, 2 for +infinity, 4 for -infinity among the points, added up.
        points: of the whole series between the asked steps.
    """

    run: str
    name: str
    steps: list[float]
    least: list[float | None]
    greatest: list[float | None]
    last: list[float | None]
    counts: list[int]
    marks: list[int]
    points: int


def summarise(columns: Columns, starts: npt.NDArray[np.intp]) -> npt.NDArray[np.void]:
    """Return one summary of each stretch of sorted points.

    Args:
        columns: n >= 1 points.
        starts: where each stretch begins, increasing, the first at 0.
    """
    values = columns.values
    finite = np.where(np.isfinite(values), values, np.nan)
    found = np.empty(len(starts), SUMMARY)
    ends = np.append(starts[1:], len(values)) - 1
    found["first"], found["end"] = columns.steps[starts], columns.steps[ends]
    found["least"] = np.fmin.reduceat(finite, starts)
    found["greatest"] = np.fmax.reduceat(finite, starts)
    found["last"] = finite[_last_finite(finite, starts, ends)]
    found["count"] = ends - starts + 1
    marks = np.zeros(len(values), np.uint8)
    marks[np.isnan(values)] |= NAN
    marks[values == np.inf] |= PLUS_INFINITY
    marks[values == -np.inf] |= MINUS_INFINITY
    found["marks"] = np.bitwise_or.reduceat(marks, starts)
    return found


def summaries_of(columns: Columns) -> bytes:
    """Return the summaries to keep beside sealed points."""
    return summarise(columns, np.arange(0, len(columns.steps), POINTS_PER_SUMMARY)).tobytes()


def summaries_from(data: bytes) -> npt.NDArray[np.void]:
    """Return kept summaries."""
    return np.frombuffer(data, SUMMARY)


def merge(summaries: npt.NDArray[np.void], *, buckets: int) -> npt.NDArray[np.void]:
    """Return at most `buckets` summaries of equal width in steps, from finer ones in the order of their steps."""
    if len(summaries) == 0:
        return summaries
    starts = _bucket_starts(summaries["end"], summaries["first"][0], buckets)
    ends = np.append(starts[1:], len(summaries)) - 1
    found = np.empty(len(starts), SUMMARY)
    found["first"], found["end"] = summaries["first"][starts], summaries["end"][ends]
    found["least"] = np.fmin.reduceat(summaries["least"], starts)
    found["greatest"] = np.fmax.reduceat(summaries["greatest"], starts)
    found["last"] = summaries["last"][_last_finite(summaries["last"], starts, ends)]
    found["count"] = np.add.reduceat(summaries["count"], starts)
    found["marks"] = np.bitwise_or.reduceat(summaries["marks"], starts)
    return found


def cut(columns: Columns, *, buckets: int) -> npt.NDArray[np.void]:
    """Return at most `buckets` summaries of equal width in steps of sorted points."""
    if len(columns.steps) == 0:
        return np.empty(0, SUMMARY)
    return summarise(columns, _bucket_starts(columns.steps, columns.steps[0], buckets))


def as_chart(run: str, name: str, summaries: npt.NDArray[np.void]) -> Chart:
    """Return summaries as a record that travels."""
    return Chart(
        run=run,
        name=name,
        steps=summaries["end"].tolist(),
        least=_plain(summaries["least"]),
        greatest=_plain(summaries["greatest"]),
        last=_plain(summaries["last"]),
        counts=summaries["count"].tolist(),
        marks=summaries["marks"].tolist(),
        points=int(summaries["count"].sum()),
    )


def _bucket_starts(steps: npt.NDArray[np.float64], low: float, buckets: int) -> npt.NDArray[np.intp]:
    width = (float(steps[-1]) - low) / buckets
    if not width > 0:
        return np.zeros(1, np.intp)
    borders = low + width * np.arange(1, buckets)
    starts = np.concatenate(([0], steps.searchsorted(borders, "right")))
    return np.unique(starts[starts < len(steps)])


def _last_finite(
    values: npt.NDArray[np.float64], starts: npt.NDArray[np.intp], ends: npt.NDArray[np.intp]
) -> npt.NDArray[np.intp]:
    """Return the place of the last value that is a number in each stretch; the stretch's end where there is none."""
    places = np.where(np.isnan(values), -1, np.arange(len(values)))
    found = np.maximum.reduceat(places, starts)
    return np.where(found < 0, ends, found)


def _plain(values: Sequence[float] | npt.NDArray[np.float64]) -> list[float | None]:
    return [None if value != value else value for value in np.asarray(values).tolist()]  # noqa: PLR0124 - NaN
