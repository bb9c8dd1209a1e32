"""An endless stream is cut into versions by count or by time, without losing a row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.core.clock import ManualClock
from everloop.data.connectors import ClockWentBackError, UnknownOptionError
from everloop.data.connectors.streams import stream_versions

if TYPE_CHECKING:
    from collections.abc import Iterator

START = datetime(2013, 1, 1, tzinfo=UTC)


def batch(*values: int) -> pa.Table:
    return pa.table({"a": pa.array(values, pa.int64())})


def values(group: list[pa.Table]) -> list[int]:
    return [value for table in group for value in table.column("a").to_numpy().tolist()]


@given(st.lists(st.integers(0, 5), max_size=8), st.integers(1, 7))
def test_every_row_is_in_one_group_and_all_but_the_last_are_full(sizes: list[int], every: int) -> None:
    rows, batches = 0, []
    for size in sizes:
        batches.append(batch(*range(rows, rows + size)))
        rows += size

    groups = list(stream_versions(batches, every_rows=every, clock=ManualClock(START)))

    assert [value for group in groups for value in values(group)] == list(range(rows))
    assert all(len(values(group)) == every for group in groups[:-1])
    assert all(0 < len(values(group)) <= every for group in groups)


def test_a_group_ends_with_the_batch_that_arrives_after_its_time() -> None:
    clock = ManualClock(START)

    def arriving() -> Iterator[pa.Table]:
        for value in range(5):
            yield batch(value)
            clock.advance(4)

    found = [values(group) for group in stream_versions(arriving(), every_s=8, clock=clock)]

    assert found == [[0, 1, 2], [3, 4]]


def test_a_clock_that_goes_back_is_an_error_and_what_was_cut_stands() -> None:
    class Clock:
        def __init__(self) -> None:
            self.times = [0, 1, 2, -5]

        def now(self) -> datetime:
            return START + timedelta(seconds=self.times.pop(0))

    groups = stream_versions([batch(1), batch(2), batch(3)], every_rows=1, clock=Clock())

    assert [values(next(groups)), values(next(groups))] == [[1], [2]]
    with pytest.raises(ClockWentBackError, match="Set the clock right"):
        next(groups)


@pytest.mark.parametrize("options", [{}, {"every_rows": 0}, {"every_s": -1.0}])
def test_a_stream_without_an_end_of_a_version_is_refused(options: dict[str, int]) -> None:
    with pytest.raises(UnknownOptionError):
        list(stream_versions([], clock=ManualClock(START), **options))
