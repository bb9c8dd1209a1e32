"""The verbs that read points: a page of a series, and charts of many. Tests: tests/unit/tracking/test_charting.py."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Annotated

import msgspec
import sqlalchemy as sa

from everloop.core.clock import from_microseconds
from everloop.kernel.operations import operation
from everloop.tracking import queries
from everloop.tracking.recording import Recording
from everloop.tracking.records import Point, mark_of
from everloop.tracking.series.chart import Chart
from everloop.tracking.series.columns import PointColumns
from everloop.tracking.tables import run as runs
from everloop.tracking.tables import run_key, run_metric

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from everloop.tracking.series.columns import Columns

Buckets = Annotated[int, msgspec.Meta(ge=1, le=10_000)]
MOST_CHARTED = 10_000


class Charting(Recording):
    """Series of runs."""

    @operation("GET /runs/{run}/history", needs="run.read", cli="runs metrics")
    def history(
        self,
        run: str,
        *,
        name: str = "",
        limit: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 10_000,
        after: float | None = None,
        until: float | None = None,
    ) -> builtins.list[Point]:
        """Return the points of a metric (of all metrics without a name) in the order of name, step and time.

        Args:
            run: its id.
            name: the metric.
            limit: at most this many.
            after: only steps above this one.
            until: only steps up to this one, inclusive.
        """
        found: builtins.list[Point] = []
        with self.kernel.catalog.read() as connection:
            number = queries.number_of(connection, run)
            if number is None:
                self.missing(run)
            for metric, columns in self._series(connection, number, name, until):
                first = 0 if after is None else int(columns.steps.searchsorted(after, "right"))
                found += _points(metric, columns, first, first + limit - len(found))
                if len(found) >= limit:
                    break
        return found

    @operation(
        "GET /runs/{run}/series",
        needs="run.read",
        cli=None,
        cli_reason="columns are for programs; `runs metrics` prints points",
    )
    def packed_series(
        self, run: str, name: str, *, after: float | None = None, until: float | None = None
    ) -> PointColumns:
        """Return all points of a metric as three columns of numbers, in the order of step and time.

        Args:
            run: its id.
            name: the metric.
            after: only steps above this one.
            until: only steps up to this one, inclusive.
        """
        from everloop.tracking.series import columns, reading

        with self.kernel.catalog.read() as connection:
            number = queries.number_of(connection, run)
            if number is None:
                self.missing(run)
            key = queries.key_ids(connection, "metric", [name]).get(name)
            found = columns.join([]) if key is None else reading.read(connection, number, key, high=until)
        first = 0 if after is None else int(found.steps.searchsorted(after, "right"))
        return columns.pack_arrays(name, found.part(first, len(found.steps)))

    def series(self, run: str, name: str) -> Columns:
        """Return all points of a metric as arrays.

        Args:
            run: its id.
            name: the metric.

        Returns:
            Arrays of shape (n,): steps, times in microseconds since 1970, values; in the order of step and time.
        """
        from everloop.tracking.series.columns import unpack

        return unpack(self.packed_series(run, name))

    def series_table(self, runs: Sequence[str], name: str) -> pa.Table:
        """Return all points of a metric of some runs as an Arrow table.

        Args:
            runs: their ids.
            name: the metric.

        Returns:
            Columns run (text), step (double), time (UTC, microseconds), value (double); in the order of runs, steps and times.
        """
        import pyarrow as pa

        parts = []
        for run in runs:
            steps, times, values = self.series(run, name)
            stamps = pa.array(times).cast(pa.timestamp("us", "UTC"))
            names = pa.array([run]).take(pa.array([0] * len(steps), pa.int32()))
            parts.append(pa.table({"run": names, "step": steps, "time": stamps, "value": values}))
        types: dict[str, pa.DataType] = {
            "run": pa.string(),
            "step": pa.float64(),
            "time": pa.timestamp("us", "UTC"),
            "value": pa.float64(),
        }
        return pa.concat_tables(parts) if parts else pa.schema(types).empty_table()

    @operation("POST /charts", needs="run.read", emits="run.charted", cli="runs chart")
    def chart(
        self,
        runs: Annotated[builtins.list[str], msgspec.Meta(max_length=MOST_CHARTED)],
        *,
        name: str,
        buckets: Buckets = 500,
        low: float | None = None,
        high: float | None = None,
    ) -> builtins.list[Chart]:
        """Return a chart of one metric for each run that has it; a spike of one point is always in it.

        Args:
            runs: their ids, at most 10,000; unknown ones are left out.
            name: the metric.
            buckets: at most this many for each run.
            low: least step to draw, inclusive; all by default.
            high: greatest step, inclusive.
        """
        from everloop.tracking.series import reading

        self.unchanged()  # a POST only because the list of runs may be long
        with self.kernel.catalog.read() as connection:
            key = queries.key_ids(connection, "metric", [name]).get(name)
            if key is None:
                return []
            known = _numbers(connection, runs)
            asked = [(known[one], one) for one in dict.fromkeys(runs) if one in known]
            return reading.draw(connection, asked, key, name, buckets=buckets, low=low, high=high)

    def _series(
        self, connection: sa.Connection, number: int, name: str, until: float | None
    ) -> builtins.list[tuple[str, Columns]]:
        from everloop.tracking.series import reading

        members = [stretch.run for stretch in reading.lineage(connection, number)]
        query = (
            sa.select(run_key.c.id, run_key.c.name)
            .join(run_metric, run_metric.c.key_id == run_key.c.id)
            .where(run_metric.c.run.in_(members))
            .distinct()
        )
        if name:
            query = query.where(run_key.c.name == name)
        rows = sorted(connection.execute(query).all(), key=lambda row: row.name)
        return [(row.name, reading.read(connection, number, row.id, high=until)) for row in rows]


def _numbers(connection: sa.Connection, ids: builtins.list[str]) -> dict[str, int]:
    query = sa.select(runs.c.id, runs.c.number).where(runs.c.id.in_(ids))
    return {row.id: row.number for row in connection.execute(query)}


def _points(name: str, columns: Columns, first: int, end: int) -> builtins.list[Point]:
    found = []
    part = (column[first:end].tolist() for column in columns)
    for step, time, value in zip(*part, strict=True):
        plain, mark = mark_of(value)
        found.append(Point(name=name, value=plain, mark=mark, step=step, time=from_microseconds(time)))
    return found
