"""Weights & Biases: offline runs, from their `.wandb` files. Tests: tests/unit/importers/test_wandb.py.

A `.wandb` file is a log of LevelDB's format with a record of protobuf in each entry; field numbers are those of `wandb_internal.proto`.
"""

from __future__ import annotations

import functools
import json
import mimetypes
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from everloop.importers.records import BadSourceError, ForeignRun, Loss, Moment, Series, show
from everloop.importers.wire import Message, leveldb_records
from everloop.tracking.client import flatten
from everloop.tracking.media import Histogram, Media, Text, Vector
from everloop.tracking.media.values import Encoded, as_media
from everloop.tracking.records import MediaKind, PrintedLine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from everloop.tracking.records import MediaPoint, Plain, RunStatus

_MAGIC = b":W&B"
_HEADER = 7
_HISTORY, _SUMMARY, _OUTPUT, _CONFIG, _STATS, _RAW_OUTPUT, _RUN, _EXIT = 2, 3, 4, 5, 7, 13, 17, 18
_KINDS: dict[str, MediaKind] = {
    "image-file": "image", "audio-file": "audio", "video-file": "video", "html-file": "html", "table-file": "table", "plotly-file": "plotly",
}  # fmt: skip

# What JSON has no numbers for.
_NO_TEXTS = ("NaN", "Infinity", "-Infinity")


class _Point(NamedTuple):
    step: float
    time: int
    value: float


def open_source(place: str) -> _Offline:
    """Return the source at a folder with offline runs, one of them, or a file."""
    path = Path(place)
    files = [path] if path.is_file() else sorted(path.rglob("run-*.wandb"))
    files = [file for file in files if "latest-run" not in file.parts]
    if not files:
        raise BadSourceError(
            f"there is no run-*.wandb below {place}. Give the folder wandb, or one offline run.",
            subject=place,
        )
    return _Offline(place, files)


class _Offline:
    """Offline runs."""

    kind = "wandb"

    def __init__(self, place: str, files: list[Path]) -> None:
        self.place = place
        self.losses: list[Loss] = []
        self._files = files

    def runs(self) -> Iterator[ForeignRun]:
        """Yield a run for each file; files of one run that was resumed are one run."""
        found: dict[str, list[_Log]] = defaultdict(list)
        for file in self._files:
            log = _Log(file)
            if not log.id:
                self.losses.append(
                    Loss(run=file.name, what="run", reason="the file ends before it says whose it is")
                )
                continue
            found[log.id].append(log)
        for logs in found.values():
            yield self._run(sorted(logs, key=lambda log: log.started_at))

    def _run(self, logs: list[_Log]) -> ForeignRun:
        first, last = logs[0], logs[-1]
        config: dict[str, Any] = {}
        for log in logs:
            config |= log.config
        tags = {f"wandb.tag.{name}": "true" for name in first.tags}
        tags |= {
            key: value
            for key, value in (
                ("wandb.entity", first.entity), ("wandb.group", first.group), ("wandb.job_type", first.job_type),
                ("wandb.sweep", first.sweep), ("git.commit", first.commit), ("git.remote", first.remote),
            )
            if value
        }  # fmt: skip
        return ForeignRun(
            id=first.id,
            experiment=first.project or "uncategorized",
            name=first.name,
            status=last.status,
            started_at=first.started_at,
            ended_at=last.ended_at,
            params=flatten(config),
            tags=tags,
            note=first.notes,
            fork_of=first.fork_of,
            fork_step=first.fork_step if first.fork_of else None,
            series=functools.partial(self._series, logs),
            media=functools.partial(self._media, logs),
            lines=functools.partial(_lines, logs),
            artifacts=functools.partial(_artifacts, logs),
        )

    def _series(self, logs: list[_Log]) -> Iterator[Series]:
        found: dict[str, list[_Point]] = defaultdict(list)
        for log in logs:
            for name, point in log.points():
                found[name].append(point)
        seen = set(found)
        for log in logs:
            for name, value in log.summary().items():
                # What was only set in the summary is a metric of one value.
                if name not in seen:
                    found[name].append(_Point(0.0, _micro(log.ended_at or log.started_at), value))
        for name, points in found.items():
            steps, times, values = zip(*points, strict=True)
            yield Series(name, np.array(steps), np.array(times, np.int64), np.array(values, float))

    def _media(self, logs: list[_Log]) -> Iterator[MediaPoint]:
        for log in logs:
            yield from log.media(self.losses)


class _Log:
    """One `.wandb` file; what is small is read at once."""

    def __init__(self, file: Path) -> None:
        with file.open("rb") as stream:
            if stream.read(4) != _MAGIC:
                raise BadSourceError(
                    f"{file} is no log of Weights & Biases. Give a .wandb file.", subject=str(file)
                )
        self._file = file
        self.id = ""
        self.config: dict[str, Any] = {}
        self.status: RunStatus = "running"
        self.started_at = datetime.fromtimestamp(0, UTC)
        self.ended_at: datetime | None = None
        runtime: float | None = None
        for record in self._records():
            if _RUN in record and not self.id:
                self._take_run(record.message(_RUN))
            if _RUN in record:
                self._configure(record.message(_RUN).message(4))
            if _CONFIG in record:
                self._configure(record.message(_CONFIG))
            if _EXIT in record:
                ended = record.message(_EXIT)
                self.status = "failed" if ended.number(1) else "finished"
                runtime = float(ended.number(2))
            if _HISTORY in record and runtime is None:
                self.ended_at = self._time_of(_items(record.message(_HISTORY), 1))
        if runtime is not None:
            self.ended_at = self.started_at + timedelta(seconds=runtime)

    def _records(self) -> Iterator[Message]:
        for content in leveldb_records(self._file, header=_HEADER):
            yield Message(content)

    def _take_run(self, run: Message) -> None:
        self.id, self.entity, self.project = run.text(1), run.text(2), run.text(3)
        self.group, self.job_type, self.name, self.notes = run.text(6), run.text(7), run.text(8), run.text(9)
        self.tags, self.sweep = run.texts(10), run.text(12)
        start = run.message(17)
        self.started_at = datetime.fromtimestamp(start.number(1) + start.number(2) / 1e9, UTC)
        self.remote, self.commit = run.message(21).text(1), run.message(21).text(2)
        branch = run.message(23)
        self.fork_of, self.fork_step = branch.text(1), branch.double(2)

    def _configure(self, config: Message) -> None:
        for item in config.messages(1):
            path = item.texts(2) or [item.text(1)]
            if path[0] == "_wandb":
                continue
            value = json.loads(item.text(16) or "null")
            place = self.config
            for name in path[:-1]:
                place = place.setdefault(name, {})
            place[path[-1]] = value

    def points(self) -> Iterator[tuple[str, _Point]]:
        """Yield the numbers of the history and of the use of the machine."""
        for record in self._records():
            if _HISTORY in record:
                history = record.message(_HISTORY)
                values = _items(history, 1)
                step = float(history.message(2).number(1) if 2 in history else values.get("_step", 0))
                time = self._micro_of(values)
                for name, value in values.items():
                    if not name.startswith("_"):
                        for path, number in _numbers(name, value):
                            yield path, _Point(step, time, number)
            elif _STATS in record:
                stats = record.message(_STATS)
                moment = stats.message(2)
                time = moment.number(1) * 1_000_000 + moment.number(2) // 1000
                step = max(round((time - _micro(self.started_at)) / 1e6, 3), 0.0)
                for name, value in _items(stats, 3).items():
                    for path, number in _numbers(f"system/{name}", value):
                        yield path, _Point(step, time, number)

    def media(self, losses: list[Loss]) -> Iterator[MediaPoint]:
        """Yield texts, distributions, pictures and the like of the history."""
        for record in self._records():
            if _HISTORY not in record:
                continue
            history = record.message(_HISTORY)
            values = _items(history, 1)
            step = float(history.message(2).number(1) if 2 in history else values.get("_step", 0))
            time = self._micro_of(values)
            for name, value in values.items():
                if not name.startswith("_"):
                    yield from self._shown(Moment(self.id, name, step, time), value, losses)

    def _shown(self, at: Moment, value: Any, losses: list[Loss]) -> Iterator[MediaPoint]:
        """Yield what a value of the history shows; numbers are points and show nothing."""
        if isinstance(value, dict) and "_type" not in value:
            for key, part in value.items():
                yield from self._shown(at._replace(name=f"{at.name}.{key}"), part, losses)
        elif isinstance(value, dict):
            yield from self._typed(at, value, losses)
        elif isinstance(value, list):
            yield from show(losses, at, functools.partial(Vector, value))
        elif isinstance(value, str) and value not in _NO_TEXTS:
            yield from show(losses, at, functools.partial(Text, value))

    def _typed(self, at: Moment, value: dict[str, Any], losses: list[Loss]) -> Iterator[MediaPoint]:
        if value["_type"] == "histogram" and "bins" in value:
            yield from show(
                losses, at, functools.partial(Histogram, counted=(value["values"], value["bins"]))
            )
        elif value["_type"] == "images/separated":
            named = f"media/images/{at.name}_{at.step:g}_{{}}.{value.get('format', 'png')}"
            files = value.get("filenames") or [named.format(one) for one in range(value.get("count", 0))]
            for index, file in enumerate(files):
                one = {"path": file, "_type": "image-file"}
                yield from show(losses, at, functools.partial(self._file_media, one), index=index)
        else:
            yield from show(losses, at, functools.partial(self._file_media, value))

    def _file_media(self, value: dict[str, Any]) -> Media:
        """Return a value that lies in a file.

        Raises:
            BadSourceError: it is of no kind that is known here, or its file is missing.
        """
        kind = _KINDS.get(value["_type"])
        file = self._inside(str(value.get("path", "")))
        if kind is None or file is None:
            raise BadSourceError(f"a {value['_type']} that is not among the files of the run")
        content = file.read_bytes()
        if kind == "table":
            return Media(_table(json.loads(content)))
        details: dict[str, Plain] = {
            key: value[key] for key in ("width", "height", "caption") if isinstance(value.get(key), int | str)
        }
        media_type = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        return Media(Encoded(kind, media_type, content, details))

    def _inside(self, path: str) -> Path | None:
        """Return a file of the run; a name that leads out of its folder is none."""
        root = (self._file.parent / "files").resolve()
        file = (root / path).resolve()
        return file if path and file.is_file() and file.is_relative_to(root) else None

    def lines(self) -> Iterator[PrintedLine]:
        """Yield what was printed."""
        waiting = {False: "", True: ""}
        time = 0
        for record in self._records():
            number = _RAW_OUTPUT if _RAW_OUTPUT in record else _OUTPUT
            if number not in record:
                continue
            output = record.message(number)
            is_error = output.number(1) == 0
            moment = output.message(2)
            time = moment.number(1) * 1_000_000 + moment.number(2) // 1000
            *whole, waiting[is_error] = (waiting[is_error] + output.text(3)).split("\n")
            for line in whole:
                yield PrintedLine(time, is_error, line.rstrip("\r").rpartition("\r")[2])
        for is_error, rest in waiting.items():
            if rest:
                yield PrintedLine(time, is_error, rest)

    def summary(self) -> dict[str, float]:
        """Return the numbers among the last values, those of nested names with dots."""
        found: dict[str, Any] = {}
        for record in self._records():
            if _SUMMARY in record:
                found |= _items(record.message(_SUMMARY), 1)
        return {
            path: number
            for name, value in found.items()
            if not name.startswith("_")
            for path, number in _numbers(name, value)
        }

    def files(self) -> Iterator[tuple[str, Path]]:
        """Yield the files of the run; media come with the history."""
        root = self._file.parent / "files"
        for file in sorted(root.rglob("*")):
            name = file.relative_to(root).as_posix()
            if file.is_file() and not file.is_symlink() and not name.startswith("media/"):
                yield name, file

    def _micro_of(self, values: dict[str, Any]) -> int:
        stamp = values.get("_timestamp")
        return round(float(stamp) * 1e6) if isinstance(stamp, int | float) else _micro(self.started_at)

    def _time_of(self, values: dict[str, Any]) -> datetime:
        return datetime.fromtimestamp(self._micro_of(values) / 1e6, UTC)


def _items(message: Message, field: int) -> dict[str, Any]:
    """Return the values of a history, summary or statistic by name; what belongs to a nested name is a mapping."""
    found: dict[str, Any] = {}
    for item in message.messages(field):
        path = item.texts(2) or [item.text(1)]
        try:
            value = json.loads(item.text(16))
        except ValueError:
            continue
        place = found
        for name in path[:-1]:
            place = place.setdefault(name, {})
            if not isinstance(place, dict):
                break
        else:
            place[path[-1]] = value
    return found


def _numbers(name: str, value: Any) -> Iterator[tuple[str, float]]:
    if isinstance(value, bool | int | float):
        yield name, float(value)
    elif isinstance(value, str) and value in _NO_TEXTS:
        yield name, float(value.replace("Infinity", "inf"))
    elif isinstance(value, dict) and "_type" not in value:
        for key, part in value.items():
            yield from _numbers(f"{name}.{key}", part)


def _table(document: dict[str, Any]) -> Encoded:
    """Return a table of theirs as Parquet; a column of several kinds becomes text."""
    import pyarrow as pa

    columns: dict[str, Any] = {}
    for at, name in enumerate(document["columns"]):
        values = [row[at] for row in document["data"]]
        try:
            columns[str(name)] = pa.array(values)
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            columns[str(name)] = pa.array([None if value is None else json.dumps(value) for value in values])
    [encoded] = as_media(pa.table(columns)) or []
    return encoded


def _lines(logs: list[_Log]) -> Iterator[PrintedLine]:
    for log in logs:
        yield from log.lines()


def _artifacts(logs: list[_Log]) -> Iterator[tuple[str, Path]]:
    # A later file of the same name replaces an earlier one.
    found = {name: file for log in logs for name, file in log.files()}
    yield from found.items()


def _micro(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6)
