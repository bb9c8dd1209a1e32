"""Neptune: the Parquet files that neptune-exporter writes. Tests: tests/unit/importers/test_neptune.py.

A row is a value of one attribute of one run: `project_id, run_id, attribute_path, attribute_type, step, timestamp`, and a column for each
kind of value. Steps are decimals and are kept; a run may fork another.
"""

from __future__ import annotations

import functools
import mimetypes
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from everloop.importers.records import BadSourceError, ForeignRun, Loss, Moment, Series, show
from everloop.tracking.media import Histogram, Image, Text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from everloop.tracking.records import MediaPoint, Plain, RunStatus

_NEEDED = {"project_id", "run_id", "attribute_path", "attribute_type"}
_PLAIN = {"float": "float_value", "int": "int_value", "string": "string_value", "bool": "bool_value", "datetime": "datetime_value"}  # fmt: skip


def open_source(place: str, *, artifacts: str = "") -> _Export:
    """Return the source at a folder of Parquet files.

    Args:
        place: the folder.
        artifacts: the folder with the files of runs; by default `files` beside or in it.
    """
    folder = Path(place)
    parts = sorted(folder.rglob("*.parquet"))
    if not parts:
        raise BadSourceError(
            f"there is no Parquet file below {place}. Give the folder that neptune-exporter wrote.",
            subject=place,
        )
    try:
        data = ds.dataset(parts, format="parquet")
    except pa.ArrowInvalid as error:
        raise BadSourceError(
            f"the Parquet files below {place} cannot be read: {error}.", subject=place
        ) from error
    missing = sorted(_NEEDED - set(data.schema.names))
    if missing:
        raise BadSourceError(
            f"the Parquet files below {place} have no {', '.join(missing)}. Give the folder that neptune-exporter wrote.",
            subject=place,
        )
    return _Export(folder, data, _files_folder(folder, artifacts))


def _files_folder(folder: Path, named: str) -> Path | None:
    candidates = [Path(named)] if named else [folder / "files", folder.parent / "files"]
    return next((one.resolve() for one in candidates if one.is_dir()), None)


class _Export:
    kind = "neptune"

    def __init__(self, folder: Path, data: ds.Dataset, files: Path | None) -> None:
        self.place = str(folder)
        self.losses: list[Loss] = []
        self._data, self._files = data, files

    def runs(self) -> Iterator[ForeignRun]:
        """Yield the runs of all projects."""
        columns = [
            "project_id",
            "run_id",
            "attribute_path",
            "attribute_type",
            *(name for name in (*_PLAIN.values(), "string_set_value") if name in self._data.schema.names),
        ]
        plain = pc.field("attribute_type").isin([*_PLAIN, "string_set"])
        found: dict[tuple[str, str], dict[str, Any]] = defaultdict(dict)
        for batch in self._data.to_batches(columns=["project_id", "run_id"]):
            for project, run in {*zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True)}:
                found.setdefault((str(project), str(run)), {})
        for batch in self._data.to_batches(columns=columns, filter=plain):
            for row in batch.to_pylist():
                kind = row["attribute_type"]
                value = row["string_set_value"] if kind == "string_set" else row[_PLAIN[kind]]
                found[str(row["project_id"]), str(row["run_id"])][row["attribute_path"]] = value
        names = {
            str(values.get("sys/custom_run_id") or values.get("sys/name") or ""): run
            for (_, run), values in found.items()
        }
        for (project, run), values in sorted(found.items()):
            yield self._run(project, run, values, names)

    def _run(self, project: str, run: str, values: dict[str, Any], names: dict[str, str]) -> ForeignRun:
        params: dict[str, Plain] = {}
        tags: dict[str, str] = {}
        for path, value in values.items():
            if isinstance(value, list):
                tags |= {f"{path.removeprefix('sys/')}.{one}": "true" for one in value}
            elif path.startswith("sys/"):
                tags[f"neptune.{path.removeprefix('sys/')}"] = str(value)
            elif value is not None:
                params[path.replace("/", ".")] = (
                    value if isinstance(value, bool | int | float | str) else str(value)
                )
        started, ended = values.get("sys/creation_time"), values.get("sys/modification_time")
        status: RunStatus = "failed" if values.get("sys/failed") else "finished"
        parent = str(values.get("sys/forking/parent") or "")
        return ForeignRun(
            id=run,
            experiment=str(values.get("sys/experiment/name") or project.rpartition("/")[2] or project),
            name=str(values.get("sys/name") or run),
            status=status,
            started_at=_moment(started),
            ended_at=_moment(ended) if ended is not None else None,
            params=params,
            tags=tags,
            note=str(values.get("sys/description") or ""),
            fork_of=names.get(parent, parent) if parent else "",
            fork_step=float(values.get("sys/forking/step") or 0) if parent else None,
            series=functools.partial(self._series, project, run),
            media=functools.partial(self._media, project, run),
            artifacts=functools.partial(self._artifacts, project, run),
        )

    def _rows(self, project: str, run: str, kind: str, columns: list[str]) -> Iterator[dict[str, Any]]:
        chosen = (
            (pc.field("project_id") == project)
            & (pc.field("run_id") == run)
            & (pc.field("attribute_type") == kind)
        )
        known = [name for name in columns if name in self._data.schema.names]
        for batch in self._data.to_batches(columns=known, filter=chosen):
            yield from batch.to_pylist()

    def _series(self, project: str, run: str) -> Iterator[Series]:
        found: dict[str, list[tuple[float, int, float]]] = defaultdict(list)
        for row in self._rows(
            project, run, "float_series", ["attribute_path", "step", "timestamp", "float_value"]
        ):
            found[row["attribute_path"]].append(
                (float(row["step"] or 0), _micro(row["timestamp"]), _number(row["float_value"]))
            )
        for name, rows in found.items():
            steps, times, values = zip(*rows, strict=True)
            yield Series(name, np.array(steps), np.array(times, np.int64), np.array(values))

    def _media(self, project: str, run: str) -> Iterator[MediaPoint]:
        columns = ["attribute_path", "step", "timestamp"]
        for row in self._rows(project, run, "string_series", [*columns, "string_value"]):
            yield from show(self.losses, _at(run, row), functools.partial(Text, str(row["string_value"])))
        for row in self._rows(project, run, "histogram_series", [*columns, "histogram_value"]):
            counted = (row["histogram_value"]["values"], row["histogram_value"]["edges"])
            yield from show(self.losses, _at(run, row), functools.partial(Histogram, counted=counted))
        for row in self._rows(project, run, "file_series", [*columns, "file_value"]):
            file = self._file(run, row)
            if file is None:
                continue
            if (mimetypes.guess_type(file.name)[0] or "").startswith("image/"):
                yield from show(self.losses, _at(run, row), functools.partial(Image, file))
            else:
                reason = f"a series of files like {file.name}"
                self.losses.append(Loss(run=run, what=row["attribute_path"], reason=reason))

    def _artifacts(self, project: str, run: str) -> Iterator[tuple[str, Path]]:
        for row in self._rows(project, run, "file", ["attribute_path", "file_value"]):
            file = self._file(run, row)
            if file is not None:
                suffix = file.suffix if not row["attribute_path"].endswith(file.suffix) else ""
                yield f"{row['attribute_path']}{suffix}", file

    def _file(self, run: str, row: dict[str, Any]) -> Path | None:
        """Return a file of a run; a path that leads out of the folder of files is none."""
        path = str((row["file_value"] or {}).get("path", ""))
        file = (self._files / path).resolve() if self._files is not None and path else None
        if file is None or self._files is None or not file.is_file() or not file.is_relative_to(self._files):
            self.losses.append(
                Loss(run=run, what=row["attribute_path"], reason=f"the file {path!r} is not among the files")
            )
            return None
        return file


def _at(run: str, row: dict[str, Any]) -> Moment:
    return Moment(run, row["attribute_path"], float(row["step"] or 0), _micro(row["timestamp"]))


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _moment(value: Any) -> datetime:
    if not isinstance(value, datetime):
        return datetime.fromtimestamp(0, UTC)
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)


def _micro(value: Any) -> int:
    return round(_moment(value).timestamp() * 1e6)
