"""Read points: those between two steps, a page of them, or what a chart needs.

A forked run goes on with the series of another up to a step; its own points follow. Tests: tests/unit/tracking/series/test_reading.py.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import sqlalchemy as sa

from everloop.tracking.series import coding
from everloop.tracking.series.chart import (
    POINTS_PER_SUMMARY,
    Chart,
    as_chart,
    cut,
    merge,
    summaries_from,
    summarise,
)
from everloop.tracking.series.columns import Columns, between, join
from everloop.tracking.series.keeping import read_tail
from everloop.tracking.tables import run, run_metric, run_segment

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

_MOST_FORKS = 100


class Stretch(NamedTuple):
    """A run whose points are read up to a step."""

    run: int
    until: float | None


def lineage(connection: sa.Connection, number: int) -> list[Stretch]:
    """Return the runs whose points make a run's series: the run, and those it was forked from, each up to its fork."""
    found, at, until = [], number, None
    for _ in range(_MOST_FORKS):
        found.append(Stretch(at, until))
        row = connection.execute(sa.select(run.c.fork_of, run.c.fork_step).where(run.c.number == at)).first()
        if row is None or row.fork_of is None:
            break
        until = row.fork_step if until is None else min(until, row.fork_step)
        at = row.fork_of
    return found


def read(
    connection: sa.Connection,
    number: int,
    key: int,
    *,
    low: float | None = None,
    high: float | None = None,
    own: bool = False,
) -> Columns:
    """Return the points of a series whose steps lie in [low, high], in the order of step and time.

    Args:
        connection: the open connection.
        number: of the run.
        key: id of the metric.
        low: least step, inclusive; all by default.
        high: greatest step, inclusive.
        own: without the points of runs it was forked from.
    """
    pieces = []
    for stretch in [Stretch(number, None)] if own else lineage(connection, number):
        top = _lower(high, stretch.until)
        query = sa.select(run_segment.c.data).where(*_overlapping(stretch.run, key, low, top))
        found = [
            coding.decode(data) for data in connection.execute(query.order_by(run_segment.c.place)).scalars()
        ]
        found += read_tail(connection, stretch.run, keys={key}).get(key, [])
        pieces.append(between(join(found), low, top))
    return join(pieces)


def draw(
    connection: sa.Connection,
    runs: Sequence[tuple[int, str]],
    key: int,
    name: str,
    *,
    buckets: int,
    low: float | None = None,
    high: float | None = None,
) -> list[Chart]:
    """Return a chart of one metric for each run that has it.

    Args:
        connection: the open connection.
        runs: number and id of each run.
        key: id of the metric.
        name: of the metric.
        buckets: at most this many for each run.
        low: least step to draw, inclusive; all by default.
        high: greatest step, inclusive.
    """
    numbers = [number for number, _ in runs]
    forked = set(
        connection.execute(
            sa.select(run.c.number).where(run.c.number.in_(numbers), run.c.fork_of.is_not(None))
        ).scalars()
    )
    counts = dict(
        connection.execute(
            sa.select(run_metric.c.run, run_metric.c.count).where(
                run_metric.c.run.in_(numbers), run_metric.c.key_id == key
            )
        ).all()
    )
    waiting = set(
        connection.execute(
            sa.select(run.c.number).where(run.c.number.in_(numbers), run.c.tail_rows > 0)
        ).scalars()
    )
    long = [n for n in numbers if n not in forked and counts.get(n, 0) > buckets * POINTS_PER_SUMMARY]
    short = [n for n in numbers if n not in forked and 0 < counts.get(n, 0) <= buckets * POINTS_PER_SUMMARY]
    found = _cut_many(connection, short, waiting, key, buckets, low, high)
    for number in long:
        found[number] = _draw_long(connection, number, key, buckets, low, high)
    for number in forked:
        found[number] = cut(read(connection, number, key, low=low, high=high), buckets=buckets)
    return [as_chart(uid, name, found[number]) for number, uid in runs if len(found.get(number, ()))]


def _cut_many(
    connection: sa.Connection,
    numbers: Sequence[int],
    waiting: set[int],
    key: int,
    buckets: int,
    low: float | None,
    high: float | None,
) -> dict[int, npt.NDArray[np.void]]:
    pieces: dict[int, list[Columns]] = {number: [] for number in numbers}
    query = sa.select(run_segment.c.run, run_segment.c.data).where(
        run_segment.c.run.in_(numbers), run_segment.c.key_id == key
    )
    for number, data in (
        connection.execute(query.order_by(run_segment.c.run, run_segment.c.place)) if numbers else ()
    ):
        pieces[number].append(coding.decode(data))
    for number in waiting & set(numbers):
        pieces[number] += read_tail(connection, number, keys={key}).get(key, [])
    return {number: cut(between(join(found), low, high), buckets=buckets) for number, found in pieces.items()}


def _draw_long(
    connection: sa.Connection, number: int, key: int, buckets: int, low: float | None, high: float | None
) -> npt.NDArray[np.void]:
    """Draw a long series from the summaries beside its segments, unless few points lie between the borders."""
    where = _overlapping(number, key, low, high)
    heads = connection.execute(
        sa.select(run_segment.c.points, run_segment.c.first_step, run_segment.c.last_step)
        .where(*where)
        .order_by(run_segment.c.first_step, run_segment.c.place)
    ).all()
    overlap = any(later.first_step <= before.last_step for before, later in itertools.pairwise(heads))
    tail = join(read_tail(connection, number, keys={key}).get(key, []))
    behind = not heads or not len(tail.steps) or tail.steps[0] > heads[-1].last_step
    if overlap or not behind or _points_between(heads, low, high) <= buckets * POINTS_PER_SUMMARY:
        return cut(read(connection, number, key, low=low, high=high), buckets=buckets)
    rows = sa.select(run_segment.c.summaries).where(*where).order_by(run_segment.c.first_step)
    parts = [summaries_from(data) for data in connection.execute(rows).scalars()]
    tail = between(tail, low, high)
    if len(tail.steps):
        parts.append(summarise(tail, np.arange(0, len(tail.steps), POINTS_PER_SUMMARY)))
    whole = np.concatenate(parts)
    first = 0 if low is None else int(whole["end"].searchsorted(low, "left"))
    end = len(whole) if high is None else int(whole["first"].searchsorted(high, "right"))
    return merge(whole[first:end], buckets=buckets)


def _points_between(heads: Sequence[Any], low: float | None, high: float | None) -> float:
    """Return about how many points lie between two steps, as if each segment's were spread evenly."""
    total = 0.0
    for head in heads:
        points, first, last = head.points, head.first_step, head.last_step
        width = last - first
        if width <= 0:
            total += points
            continue
        inside = min(last, last if high is None else high) - max(first, first if low is None else low)
        total += points * max(inside, 0.0) / width
    return total


def _overlapping(
    number: int, key: int, low: float | None, high: float | None
) -> list[sa.ColumnElement[bool]]:
    where = [run_segment.c.run == number, run_segment.c.key_id == key]
    if low is not None:
        where.append(run_segment.c.last_step >= low)
    if high is not None:
        where.append(run_segment.c.first_step <= high)
    return where


def _lower(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
