"""Keep points: a batch becomes one row, and rows become sealed segments, few and large.

Points of a batch wait in `run_tail`. When enough wait, or the run ends, they are sealed: each series gets a segment, and sixteen
segments of one size become one, so that each point is written anew at most four times. A segment holds at most 65,536 points.
Everything happens in the caller's transaction. Tests: tests/unit/tracking/series/test_keeping.py.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import sqlalchemy as sa

from everloop.tracking import queries
from everloop.tracking.series import coding
from everloop.tracking.series.chart import summaries_of
from everloop.tracking.series.columns import Columns, PointColumns, join, unpack
from everloop.tracking.tables import run_metric, run_segment, run_tail

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from everloop.tracking.queries import RunRow

# When waiting rows are sealed. More rows make reading slower, fewer make segments small.
MOST_TAIL_ROWS = 64
MOST_TAIL_POINTS = 1 << 15
# A series that brings this many points at once is sealed at once.
SEALED_AT_ONCE = 1 << 11
LARGEST_SEGMENT = 1 << 16
MERGED = 16


# Made once: building a statement costs more than running it.
_NEW_TAIL = run_tail.insert()
_LATEST = sa.select(run_metric).where(
    run_metric.c.run == sa.bindparam("number"), run_metric.c.key_id.in_(sa.bindparam("keys", expanding=True))
)


class TailSeries(msgspec.Struct, array_like=True):
    """Points of one series in a row that waits."""

    key_id: int
    steps: bytes
    times: bytes
    values: bytes


_encode_tail = msgspec.msgpack.Encoder().encode
_decode_tail = msgspec.msgpack.Decoder(list[TailSeries]).decode


def append(
    connection: sa.Connection, row: RunRow, series: Sequence[PointColumns]
) -> tuple[int, dict[str, int]]:
    """Keep a batch of points and move the latest values.

    Args:
        connection: the open write transaction.
        row: of the run, locked.
        series: points by metric; a name may come more than once.

    Returns:
        How many points there were, and what changes in the run's row.

    Raises:
        BadColumnsError: see `unpack`; nothing is kept.
    """
    columns = [(one, unpack(one)) for one in series if len(one)]
    points = sum(len(one) for one, _ in columns)
    if not points:
        return 0, {}
    ids = queries.name_keys(
        connection, "metric", {one.name for one, _ in columns}, experiment_id=row.experiment_id
    )
    _move_latest(connection, row.number, [(ids[one.name], found) for one, found in columns])
    large = [(ids[one.name], found) for one, found in columns if len(one) >= SEALED_AT_ONCE]
    seal_columns(connection, row.number, large)
    tail = [
        TailSeries(ids[one.name], one.steps, one.times, one.values)
        for one, _ in columns
        if len(one) < SEALED_AT_ONCE
    ]
    waiting = points - sum(len(found.steps) for _, found in large)
    if not tail:
        return points, {}
    change = {
        "tail_rows": row.tail_rows + 1,
        "tail_points": row.tail_points + waiting,
        "tail_next": row.tail_next + 1,
    }
    values = {"run": row.number, "place": row.tail_next, "data": _encode_tail(tail)}
    connection.execute(_NEW_TAIL, values)
    if change["tail_rows"] >= MOST_TAIL_ROWS or change["tail_points"] >= MOST_TAIL_POINTS:
        change |= seal(connection, row.number)
    return points, change


def seal(connection: sa.Connection, number: int) -> dict[str, int]:
    """Seal what waits of a run; return what changes in the run's row."""
    pieces = read_tail(connection, number)
    seal_columns(connection, number, [(key, join(found)) for key, found in pieces.items()])
    connection.execute(run_tail.delete().where(run_tail.c.run == number))
    return {"tail_rows": 0, "tail_points": 0}


def read_tail(
    connection: sa.Connection, number: int, *, keys: set[int] | None = None
) -> dict[int, list[Columns]]:
    """Return the waiting points of a run by series, in pieces."""
    query = sa.select(run_tail.c.data).where(run_tail.c.run == number).order_by(run_tail.c.place)
    pieces: dict[int, list[Columns]] = {}
    for data in connection.execute(query).scalars():
        for one in _decode_tail(data):
            if keys is None or one.key_id in keys:
                pieces.setdefault(one.key_id, []).append(_columns(one))
    return pieces


def seal_columns(connection: sa.Connection, number: int, series: Iterable[tuple[int, Columns]]) -> None:
    """Write points of some series as segments, and merge small segments where there are many."""
    wanted = [(key, join([columns])) for key, columns in series]
    if not wanted:
        return
    known = _segments(connection, number, [key for key, _ in wanted])
    rows = []
    for key, columns in wanted:
        held = known.setdefault(key, [])
        for start in range(0, len(columns.steps), LARGEST_SEGMENT):
            part = columns.part(start, start + LARGEST_SEGMENT)
            place = held[-1][0] + 1 if held else 0
            held.append((place, len(part.steps)))
            rows.append(_segment(number, key, place, part))
    connection.execute(run_segment.insert(), rows)
    for key, held in known.items():
        _merge(connection, number, key, held)


def _merge(connection: sa.Connection, number: int, key: int, held: list[tuple[int, int]]) -> None:
    """Make one segment of the trailing sixteen of one size, as long as there are so many."""
    while (last := _trailing(held)) is not None:
        where = (run_segment.c.run == number, run_segment.c.key_id == key, run_segment.c.place >= last)
        query = sa.select(run_segment.c.data).where(*where).order_by(run_segment.c.place)
        whole = join([coding.decode(data) for data in connection.execute(query).scalars()])
        connection.execute(run_segment.delete().where(*where))
        connection.execute(run_segment.insert(), [_segment(number, key, last, whole)])
        held[:] = [one for one in held if one[0] < last] + [(last, len(whole.steps))]


def _trailing(held: Sequence[tuple[int, int]]) -> int | None:
    """Return the place of the first of the segments to merge; None when there are none."""
    last = held[-MERGED:]
    if len(last) < MERGED or sum(points for _, points in last) > LARGEST_SEGMENT:
        return None
    # A segment's size class: how often it could have been merged. A larger one before does not take part.
    classes = {_size_class(points) for _, points in last}
    return last[0][0] if max(classes) <= _size_class(last[-1][1]) else None


def _size_class(points: int) -> int:
    return int(math.log2(points)) // int(math.log2(MERGED))


def _segments(
    connection: sa.Connection, number: int, keys: Sequence[int]
) -> dict[int, list[tuple[int, int]]]:
    found: dict[int, list[tuple[int, int]]] = {}
    for start in range(0, len(keys), queries.MOST_NAMES):
        query = sa.select(run_segment.c.key_id, run_segment.c.place, run_segment.c.points).where(
            run_segment.c.run == number, run_segment.c.key_id.in_(keys[start : start + queries.MOST_NAMES])
        )
        for key, place, points in connection.execute(
            query.order_by(run_segment.c.key_id, run_segment.c.place)
        ):
            found.setdefault(key, []).append((place, points))
    return found


def _segment(number: int, key: int, place: int, columns: Columns) -> dict[str, object]:
    return {
        "run": number,
        "key_id": key,
        "place": place,
        "points": len(columns.steps),
        "first_step": float(columns.steps[0]),
        "last_step": float(columns.steps[-1]),
        "data": coding.encode(columns),
        "summaries": summaries_of(columns),
    }


def _move_latest(connection: sa.Connection, number: int, series: Sequence[tuple[int, Columns]]) -> None:
    """Bring the rows of `run_metric` up to date with new points."""
    keys = sorted({key for key, _ in series})
    known: dict[int, Mapping[str, object]] = {}
    for start in range(0, len(keys), queries.MOST_NAMES):
        asked = {"number": number, "keys": keys[start : start + queries.MOST_NAMES]}
        known |= {row["key_id"]: row for row in connection.execute(_LATEST, asked).mappings()}
    for key, columns in series:
        known[key] = _later(known.get(key), {"run": number, "key_id": key, **_latest(columns)})
    change = ("value", "step", "time", "least", "greatest", "count")
    queries.put_rows(connection, run_metric, [known[key] for key in keys], change=change)


def _latest(columns: Columns) -> dict[str, object]:
    steps, times, values = columns
    if len(steps) == 1:
        at = 0
    else:
        best = steps == steps.max()
        best &= times == times[best].max()
        # NaN is the least of values here, as in a sort of (is a number, value).
        at = int(np.flatnonzero(best)[np.argmax(np.where(np.isnan(values[best]), -np.inf, values[best]))])
    finite = values[np.isfinite(values)]
    return {
        "value": _null(float(values[at])),
        "step": float(steps[at]),
        "time": int(times[at]),
        "least": float(finite.min()) if len(finite) else None,
        "greatest": float(finite.max()) if len(finite) else None,
        "count": len(steps),
    }


def _later(before: Mapping[str, object] | None, new: dict[str, object]) -> Mapping[str, object]:
    """Return the row of a series after new points."""
    if before is None:
        return new
    winner = new if _rank(new) >= _rank(before) else before
    return {
        **winner,
        "least": _least(before["least"], new["least"]),
        "greatest": _greatest(before["greatest"], new["greatest"]),
        "count": int(before["count"]) + int(new["count"]),  # type: ignore[call-overload] # numbers of the table
    }


def _rank(row: Mapping[str, object]) -> tuple[object, ...]:
    value = row["value"]
    return row["step"], row["time"], value is not None, value if value is not None else 0.0


def _least(one: object, other: object) -> object:
    both = [value for value in (one, other) if value is not None]
    return min(both, default=None)  # type: ignore[type-var] # numbers


def _greatest(one: object, other: object) -> object:
    both = [value for value in (one, other) if value is not None]
    return max(both, default=None)  # type: ignore[type-var] # numbers


def _null(value: float) -> float | None:
    return None if math.isnan(value) else value


def _columns(one: TailSeries) -> Columns:
    return Columns(
        np.frombuffer(one.steps, "<f8"), np.frombuffer(one.times, "<i8"), np.frombuffer(one.values, "<f8")
    )
