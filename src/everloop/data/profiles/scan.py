"""Take the statistics of a part: one pass over its rows, in bounded memory, columns side by side on threads.

Rows are cut at fixed places, so that the same rows give the same statistics. Tests:
tests/unit/data/test_statistics.py; speed: benchmarks/checks.py.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from everloop.data.engine import connect
from everloop.data.profiles.columns import accumulator_of
from everloop.data.profiles.statistics import Statistics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from everloop.data.profiles.columns import Accumulator
    from everloop.data.table import Table

_STEP_ROWS = 65_536
_LEAST_STEP_ROWS = 1_024
_STEP_BYTES = 64 * 1024 * 1024
_SAMPLE_ROWS = 1_024
_THREADS = min(4, os.cpu_count() or 1)


def part_statistics(table: Table, *, threads: int = _THREADS) -> Statistics:
    """Return the mergeable statistics of a part's rows.

    Cost: one scan; memory for a few hundred thousand rows at a time, whatever their number.

    Args:
        table: the part; a whole table is one, too.
        threads: columns looked at at the same time.
    """
    accumulators = [accumulator_of(column) for column in table.columns]
    with ThreadPoolExecutor(max_workers=threads + 1, thread_name_prefix="profile") as pool:
        steps = _steps(table)
        coming = pool.submit(next, steps, None)
        while (step := coming.result()) is not None:
            coming = pool.submit(next, steps, None)
            list(pool.map(_add, accumulators, step.columns))
    return Statistics(rows=table.num_rows, columns=[accumulator.finish() for accumulator in accumulators])


def _add(accumulator: Accumulator, column: Any) -> None:  # noqa: ANN401 - an Arrow column
    accumulator.add(column.chunk(0) if column.num_chunks == 1 else column.combine_chunks())


def _steps(table: Table) -> Iterator[pa.Table]:
    """Yield the rows in order, cut at places that depend on the rows alone."""
    if not table.columns:
        return
    if table.reference is None:
        arrow = table.to_arrow()
        rows = _step_rows(arrow.slice(0, _SAMPLE_ROWS))
        for start in range(0, arrow.num_rows, rows):
            yield arrow.slice(start, rows)
        return
    with connect(this=table) as connection:
        rows = _step_rows(connection.sql(f"SELECT * FROM this LIMIT {_SAMPLE_ROWS}").to_arrow_table())
        yield from _cut(connection.sql("SELECT * FROM this").to_arrow_reader(rows), rows)


def _step_rows(sample: pa.Table) -> int:
    a_row = max(1, sample.nbytes // max(1, sample.num_rows))
    return max(_LEAST_STEP_ROWS, min(_STEP_ROWS, _STEP_BYTES // a_row))


def _cut(batches: Any, rows: int) -> Iterator[pa.Table]:  # noqa: ANN401 - an Arrow reader
    pending: pa.Table | None = None
    for batch in batches:
        fresh = pa.Table.from_batches([batch])
        pending = fresh if pending is None else pa.concat_tables([pending, fresh])
        while pending.num_rows >= rows:
            yield pending.slice(0, rows)
            pending = pending.slice(rows)
    if pending is not None and pending.num_rows:
        yield pending
