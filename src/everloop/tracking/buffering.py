"""Values between the call that logs them and the batch that carries them.

`add` is what a training loop pays: one append to a deque, which needs no lock. Packing happens elsewhere, under the caller's lock.
Tests: tests/unit/tracking/test_buffering.py.
"""

from __future__ import annotations

from array import array
from collections import deque
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from everloop.core.clock import SystemClock, to_microseconds
from everloop.tracking.series.columns import pack
from everloop.tracking.spool import Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from everloop.core.clock import Clock
    from everloop.tracking.records import Plain

Item = TypeVar("Item")
# Points in one batch: 1.6 MB as JSON.
LARGEST_BATCH = 50_000


class _Series(NamedTuple):
    steps: array[float]
    times: array[int]
    values: array[float]


class Buffer:
    """What a run was given and has not packed yet. Any thread may add; one at a time may pack."""

    def __init__(self, clock: Clock) -> None:
        self._waiting: deque[tuple[Mapping[str, float], float | None, int]] = deque()
        self._params: deque[tuple[str, Plain]] = deque()
        self._tags: deque[tuple[str, str]] = deque()
        self._next_step: dict[str, float] = {}
        self.now: Callable[[], int] = _stamp(clock)
        self.add_params = self._params.extend
        self.add_tags = self._tags.extend

    def __len__(self) -> int:
        """Return about how many calls wait."""
        return len(self._waiting) + len(self._params) + len(self._tags)

    def add(self, values: Mapping[str, float], step: float | None) -> None:
        """Append one value of each metric."""
        self._waiting.append((values, step, self.now()))

    def pack(self, sequence: int) -> Batch | None:
        """Take out what waits, at most a batch of it; None when nothing does."""
        series: dict[str, _Series] = {}
        left = LARGEST_BATCH
        take, steps = self._waiting.popleft, self._next_step
        while self._waiting and left > 0:
            values, step, at = take()
            for name, value in values.items():
                columns = series.get(name)
                if columns is None:
                    columns = series[name] = _Series(array("d"), array("q"), array("d"))
                place = steps.get(name, 0.0) if step is None else step
                steps[name] = place + 1
                columns.steps.append(place)
                columns.times.append(at)
                columns.values.append(value)
            left -= len(values)
        params, tags = dict(_drain(self._params)), dict(_drain(self._tags))
        if not (series or params or tags):
            return None
        packed = [pack(name, *columns) for name, columns in series.items()]
        return Batch(sequence=sequence, series=packed, params=params, tags=tags)


def _drain(waiting: deque[Item]) -> list[Item]:
    return [waiting.popleft() for _ in range(len(waiting))]


def _stamp(clock: Clock) -> Callable[[], int]:
    """Return what gives the time in microseconds; the machine's clock is asked without the way over datetime."""
    if type(clock) is SystemClock:
        from time import time_ns

        return lambda: time_ns() // 1000
    return lambda: to_microseconds(clock.now())
