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
    from collections.abc import Callable, Mapping, Sequence

    from everloop.core.clock import Clock
    from everloop.tracking.media.values import Encoded
    from everloop.tracking.records import DatasetInput, MediaPoint, Plain, PrintedLine

Item = TypeVar("Item")
# Points in one batch: 1.6 MB as JSON.
LARGEST_BATCH = 50_000
MOST_LINES = 5_000
# Contents in one batch, beyond which the next values wait for another; and what the rest of a value costs.
_MEDIA_BYTES = 4 << 20
_MEDIA_HEAD = 200


class _Series(NamedTuple):
    steps: array[float]
    times: array[int]
    values: array[float]


class Buffer:
    """What a run was given and has not packed yet. Any thread may add; one at a time may pack.

    Attributes:
        calls: values of metrics that wait, one entry a call; for a look at their number, which each call of `log` takes.
    """

    def __init__(self, clock: Clock) -> None:
        self.calls: deque[tuple[Mapping[str, float], float | None, int]] = deque()
        self._params: deque[tuple[str, Plain]] = deque()
        self._tags: deque[tuple[str, str]] = deque()
        self._media: deque[tuple[str, Sequence[Encoded], float | None, int]] = deque()
        self._lines: deque[PrintedLine] = deque()
        self._inputs: deque[DatasetInput] = deque()
        self._next_step: dict[str, float] = {}
        self.now: Callable[[], int] = _stamp(clock)
        self.add_params = self._params.extend
        self.add_tags = self._tags.extend
        self.add_line = self._lines.append
        self.add_input = self._inputs.append

    def __len__(self) -> int:
        """Return about how many calls wait."""
        return len(self.calls) + len(self._params) + len(self._tags) + len(self._media) + len(self._lines)

    def add(self, values: Mapping[str, float], step: float | None) -> None:
        """Append one value of each metric."""
        self.calls.append((values, step, self.now()))

    def add_media(self, name: str, values: Sequence[Encoded], step: float | None) -> None:
        """Append values that are no numbers, all at one step of one name."""
        self._media.append((name, values, step, self.now()))

    def pack(self, sequence: int) -> Batch | None:
        """Take out what waits, at most a batch of it; None when nothing does."""
        series: dict[str, _Series] = {}
        left = LARGEST_BATCH
        take, steps = self.calls.popleft, self._next_step
        while self.calls and left > 0:
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
        media = self._pack_media()
        lines = [self._lines.popleft() for _ in range(min(len(self._lines), MOST_LINES))]
        inputs = _drain(self._inputs)
        if not (series or params or tags or media or lines or inputs):
            return None
        packed = [pack(name, *columns) for name, columns in series.items()]
        return Batch(
            sequence=sequence,
            series=packed,
            params=params,
            tags=tags,
            media=media,
            lines=lines,
            inputs=inputs,
        )

    def _pack_media(self) -> list[MediaPoint]:
        found: list[MediaPoint] = []
        left = _MEDIA_BYTES
        while self._media and left > 0:
            name, values, step, at = self._media.popleft()
            place = self._next_step.get(name, 0.0) if step is None else step
            self._next_step[name] = place + 1
            for index, value in enumerate(values):
                found.append(value.at(name, place, at, index=index))
                left -= len(value.content) + _MEDIA_HEAD
        return found


def _drain(waiting: deque[Item]) -> list[Item]:
    return [waiting.popleft() for _ in range(len(waiting))]


def _stamp(clock: Clock) -> Callable[[], int]:
    """Return what gives the time in microseconds; the machine's clock is asked without the way over datetime."""
    if type(clock) is SystemClock:
        from time import time_ns

        return lambda: time_ns() // 1000
    return lambda: to_microseconds(clock.now())
