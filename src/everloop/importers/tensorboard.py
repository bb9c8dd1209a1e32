"""TensorBoard: event files, one run for each folder that holds some. Tests: tests/unit/importers/test_tensorboard.py.

Field numbers are those of TensorFlow's `event.proto`, `summary.proto`, `tensor.proto`, and of the plug-in for hyperparameters.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from everloop.importers.records import BadSourceError, ForeignRun, Loss, Moment, Series, show
from everloop.importers.wire import Message, tensorflow_records
from everloop.tracking.media import Audio, Histogram, Image, Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from everloop.tracking.media import Media
    from everloop.tracking.records import MediaPoint, Plain

_FLOAT, _DOUBLE, _INT32, _STRING, _INT64 = 1, 2, 3, 7, 9
_NUMBERS = {_FLOAT: "<f4", _DOUBLE: "<f8", _INT32: "<i4", _INT64: "<i8"}


def open_source(place: str, *, experiment: str = "") -> _Events:
    """Return the source at a folder."""
    folder = Path(place)
    found: dict[Path, list[Path]] = defaultdict(list)
    for file in sorted(folder.rglob("*tfevents*")):
        found[file.parent].append(file)
    if not found:
        raise BadSourceError(
            f"there is no event file below {place}. Give TensorBoard's --logdir.", subject=place
        )
    return _Events(folder, found, experiment or folder.resolve().name)


class _Value(NamedTuple):
    tag: str
    plugin: str
    step: float
    time: int
    value: Message


class _Head(NamedTuple):
    """First and last time, in microseconds since 1970, and hyperparameters."""

    first: int
    last: int
    params: dict[str, Plain]


class _Events:
    kind = "tensorboard"

    def __init__(self, folder: Path, files: dict[Path, list[Path]], experiment: str) -> None:
        self.place = str(folder)
        self.losses: list[Loss] = []
        self._folder, self._files, self._experiment = folder, files, experiment

    def runs(self) -> Iterator[ForeignRun]:
        """Yield a run for each folder with event files."""
        for folder, files in self._files.items():
            name = folder.relative_to(self._folder).as_posix()
            head = _head(files)
            yield ForeignRun(
                id=f"{self._experiment}/{name}",
                experiment=self._experiment,
                name=self._experiment if name == "." else name,
                started_at=datetime.fromtimestamp(head.first / 1e6, UTC),
                ended_at=datetime.fromtimestamp(head.last / 1e6, UTC),
                params=head.params,
                series=functools.partial(_series, files),
                media=functools.partial(self._media, f"{self._experiment}/{name}", files),
            )

    def _media(self, run: str, files: list[Path]) -> Iterator[MediaPoint]:
        told: set[str] = set()
        for value in _values(files):
            if _scalar(value) is not None or value.plugin == "hparams":
                continue
            makers = _shown(value)
            if makers is None:
                if value.tag not in told:
                    told.add(value.tag)
                    reason = f"values of {value.plugin or 'an unknown kind'} are not brought"
                    self.losses.append(Loss(run=run, what=value.tag, reason=reason))
                continue
            at = Moment(run, value.tag, value.step, value.time)
            for index, make in enumerate(makers):
                yield from show(self.losses, at, make, index=index)


def _values(files: list[Path]) -> Iterator[_Value]:
    plugins: dict[str, str] = {}
    for file in files:
        for record in tensorflow_records(file):
            event = Message(record)
            for value in event.message(5).messages(1):
                tag = value.text(1)
                plugin = value.message(9).message(1).text(1)
                # Only the first value of a tag says whose it is.
                plugins[tag] = plugin or plugins.get(tag, "")
                yield _Value(tag, plugins[tag], float(event.number(2)), round(event.double(1) * 1e6), value)


def _series(files: list[Path]) -> Iterator[Series]:
    found: dict[str, list[tuple[float, int, float]]] = defaultdict(list)
    for value in _values(files):
        number = _scalar(value)
        if number is not None:
            found[value.tag].append((value.step, value.time, number))
    for name, rows in found.items():
        steps, times, values = zip(*rows, strict=True)
        yield Series(name, np.array(steps), np.array(times, np.int64), np.array(values))


def _scalar(value: _Value) -> float | None:
    if 2 in value.value:
        return value.value.single(2)
    if value.plugin != "scalars" or 8 not in value.value:
        return None
    numbers = _numbers(value.value.message(8))
    return float(numbers[0]) if numbers is not None and len(numbers) else None


def _numbers(tensor: Message) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]] | None:
    """Return the numbers of a tensor in their shape; None of one that holds none."""
    kind = _NUMBERS.get(tensor.number(1))
    if kind is None:
        return None
    shape = [dimension.number(1) for dimension in tensor.message(2).messages(2)]
    content = tensor.raw(4)
    if not content:
        field = {_FLOAT: 5, _DOUBLE: 6}.get(tensor.number(1))
        content = (
            b""
            if field is None
            else b"".join(part for part in tensor.fields.get(field, []) if isinstance(part, bytes))
        )
    found = np.frombuffer(content, kind)
    return found.reshape(shape) if int(np.prod(shape)) == len(found) else found


def _shown(value: _Value) -> list[Callable[[], Media]] | None:
    """Return what makes the things that a value shows; None when it is of no kind that is known here."""
    message = value.value
    tensor = message.message(8)
    texts = [part for part in tensor.fields.get(8, []) if isinstance(part, bytes)]
    found: list[Callable[[], Media]] | None = None
    if 4 in message:
        found = [lambda: Image(message.message(4).raw(4))]
    elif 5 in message:
        found = [lambda: _old_histogram(message.message(5))]
    elif 6 in message:
        found = [lambda: Audio(message.message(6).raw(4))]
    elif value.plugin == "text":
        found = [functools.partial(Text, part.decode(errors="replace")) for part in texts]
    elif value.plugin == "images":  # width and height come first
        found = [functools.partial(Image, part) for part in texts[2:]]
    elif value.plugin == "audio":
        found = [functools.partial(Audio, part) for part in texts[::2]]
    elif value.plugin == "histograms":
        found = [lambda: _new_histogram(_numbers(tensor))]
    return found


def _new_histogram(buckets: np.ndarray[tuple[int, ...], np.dtype[np.generic]] | None) -> Histogram:
    """Return a histogram of rows of left border, right border and count."""
    if buckets is None or buckets.ndim != 2 or not len(buckets):
        return Histogram([])
    rows = buckets.astype(float)
    return Histogram(counted=(rows[:, 2], np.append(rows[:, 0], rows[-1, 1])))


def _old_histogram(histogram: Message) -> Histogram:
    """Return a histogram of limits and counts; its outermost limits are drawn in to what was counted."""
    limits, counts = histogram.doubles(6), histogram.doubles(7)
    if not counts:
        return Histogram([])
    borders = [histogram.double(1), *limits[:-1], min(limits[-1], max(histogram.double(2), *limits[-2:-1]))]
    borders[0] = min(borders[0], borders[1])
    return Histogram(counted=(counts, borders))


def _head(files: list[Path]) -> _Head:
    """Return what a run is, in one pass over its files."""
    first = last = 0
    found: dict[str, Plain] = {}
    for value in _values(files):
        first, last = min(first or value.time, value.time), max(last, value.time)
        if value.plugin == "hparams":
            start = Message(value.value.message(9).message(1).raw(2)).message(3)
            found |= {entry.text(1): _plain(entry.message(2)) for entry in start.messages(1)}
    return _Head(first, last, found)


def _plain(value: Message) -> Plain:
    if 2 in value:
        number = value.double(2)
        return int(number) if number.is_integer() and abs(number) < 2**53 else number
    if 3 in value:
        return value.text(3)
    return bool(value.number(4)) if 4 in value else None
