"""MLflow: a folder `mlruns`, and the databases of its servers. Tests: tests/unit/importers/test_mlflow.py."""

from __future__ import annotations

import functools
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

import numpy as np
import sqlalchemy as sa

from everloop.importers.records import BadSourceError, ForeignRun, ImporterMissingError, Loss, Series
from everloop.tracking.plain import plain_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from everloop.tracking.records import RunStatus

_STATUS: dict[str, RunStatus] = {
    "RUNNING": "running", "SCHEDULED": "running", "FINISHED": "finished", "FAILED": "failed", "KILLED": "killed",
}  # fmt: skip
# As numbers, in files.
_STATUS_NUMBERS = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}
_LARGEST = 1.7976931348623157e308
_NOTE, _NAME, _PARENT = "mlflow.note.content", "mlflow.runName", "mlflow.parentRunId"


def open_source(place: str, *, artifacts: str = "") -> _Files | _Database:
    """Return the source at a folder, an SQLite file, or the URL of a database."""
    root = Path(artifacts) if artifacts else None
    path = Path(place)
    if "://" in place:
        return _Database(place, root)
    if path.is_file():
        return _Database(f"sqlite:///{path.absolute()}", root)
    return _Files(path)


class _Files:
    """A folder with one folder an experiment, and in it one a run."""

    kind = "mlflow"

    def __init__(self, folder: Path) -> None:
        self.place = str(folder)
        self.losses: list[Loss] = []
        self._folder = folder

    def runs(self) -> Iterator[ForeignRun]:
        """Yield the runs of all experiments, those in the trash too."""
        roots = [self._folder, self._folder / ".trash"]
        experiments = [file.parent for root in roots for file in sorted(root.glob("*/meta.yaml"))]
        if not experiments:
            raise BadSourceError(
                f"there is no experiment in {self._folder}: no folder in it has a meta.yaml. Give the folder mlruns itself.",
                subject=str(self._folder),
            )
        for experiment in experiments:
            meta = _yaml(experiment / "meta.yaml")
            for file in sorted(experiment.glob("*/meta.yaml")):
                yield self._run(file.parent, str(meta.get("name", experiment.name)))
        models = sorted((self._folder / "models").glob("*/meta.yaml"))
        if models:
            self.losses.append(
                Loss(run="", what=f"{len(models)} registered models", reason="only runs are brought")
            )

    def _run(self, folder: Path, experiment: str) -> ForeignRun:
        meta = _yaml(folder / "meta.yaml")
        tags = _texts(folder / "tags")
        status = meta.get("status")
        return _foreign(
            id=str(meta.get("run_id") or meta.get("run_uuid") or folder.name),
            experiment=experiment,
            name=str(meta.get("run_name") or meta.get("name") or ""),
            status=str(_STATUS_NUMBERS.get(status, status) if isinstance(status, int) else status),
            start=meta.get("start_time"),
            end=meta.get("end_time"),
            is_deleted=meta.get("lifecycle_stage") == "deleted",
            params=_texts(folder / "params"),
            tags=tags,
            series=functools.partial(_file_series, folder / "metrics"),
            artifacts=functools.partial(_files_below, folder / "artifacts"),
        )


def _texts(folder: Path) -> dict[str, str]:
    """Return the contents of small files by their paths below a folder, which are names of params and tags."""
    return {
        file.relative_to(folder).as_posix(): file.read_text(errors="replace")
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def _file_series(folder: Path) -> Iterator[Series]:
    for file in sorted(folder.rglob("*")):
        if not file.is_file():
            continue
        rows = [line.split() for line in file.read_text().splitlines() if line.strip()]
        steps = np.array([float(row[2]) if len(row) > 2 else 0.0 for row in rows])
        times = np.array([int(row[0]) * 1000 for row in rows], np.int64)
        values = np.array([float(row[1]) for row in rows])
        yield Series(file.relative_to(folder).as_posix(), steps, times, values)


def _files_below(folder: Path) -> Iterator[tuple[str, Path]]:
    for file in sorted(folder.rglob("*")):
        if file.is_file() and not file.is_symlink():
            yield file.relative_to(folder).as_posix(), file


def _yaml(file: Path) -> dict[str, Any]:
    try:
        import yaml
    except ImportError as error:
        raise ImporterMissingError(
            "the folder of MLflow is read with PyYAML. Install it: pip install 'everloop[importers]'."
        ) from error
    try:
        found = yaml.safe_load(file.read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise BadSourceError(
            f"{file} cannot be read: {error}. Mend it or take it away.", subject=str(file)
        ) from error
    return found if isinstance(found, dict) else {}


class _Database:
    """The tables of a tracking server."""

    kind = "mlflow"

    def __init__(self, url: str, artifacts: Path | None) -> None:
        parsed = sa.make_url(url)
        if parsed.drivername in ("postgresql", "postgres"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        self.place = parsed.render_as_string(hide_password=True)
        self.losses: list[Loss] = []
        self._artifacts = artifacts.resolve() if artifacts is not None else None
        self._engine = sa.create_engine(parsed, poolclass=sa.pool.NullPool)

    def runs(self) -> Iterator[ForeignRun]:
        """Yield the runs of all experiments, those in the trash too."""
        try:
            with self._engine.connect() as connection:
                experiments: dict[Any, str] = dict(
                    connection.execute(sa.text("SELECT experiment_id, name FROM experiments")).all()
                )
                params = _by_run(connection, "params")
                tags = _by_run(connection, "tags")
                rows = (
                    connection.execute(sa.text("SELECT * FROM runs ORDER BY start_time, run_uuid"))
                    .mappings()
                    .all()
                )
                models = _count(connection, "registered_models")
        except sa.exc.DBAPIError as error:
            raise BadSourceError(
                f"{self.place} cannot be read as the database of an MLflow server: {error.orig}. Give its file or URL.",
                subject=self.place,
            ) from error
        if models:
            self.losses.append(
                Loss(run="", what=f"{models} registered models", reason="only runs are brought")
            )
        for row in rows:
            run = str(row["run_uuid"])
            yield _foreign(
                id=run,
                experiment=str(experiments.get(row["experiment_id"], row["experiment_id"])),
                name=str(row["name"] or ""),
                status=str(row["status"]),
                start=row["start_time"],
                end=row["end_time"],
                is_deleted=row["lifecycle_stage"] == "deleted",
                params=params.get(run, {}),
                tags=tags.get(run, {}),
                series=functools.partial(self._series, run),
                artifacts=functools.partial(self._files, run, str(row["artifact_uri"] or "")),
            )

    def _series(self, run: str) -> Iterator[Series]:
        query = sa.text(
            "SELECT key, step, timestamp, value, is_nan FROM metrics WHERE run_uuid = :run ORDER BY key, step, timestamp"
        )
        found: dict[str, list[tuple[float, int, float]]] = defaultdict(list)
        with self._engine.connect() as connection:
            for key, step, time, value, is_nan in connection.execute(query, {"run": run}):
                number = float("nan") if is_nan else float(value)
                if abs(number) >= _LARGEST:  # how its server keeps infinities
                    number = float("inf") if number > 0 else float("-inf")
                found[key].append((float(step), int(time) * 1000, number))
        for name, rows in found.items():
            steps, times, values = zip(*rows, strict=True)
            yield Series(name, np.array(steps), np.array(times, np.int64), np.array(values))

    def _files(self, run: str, address: str) -> Iterator[tuple[str, Path]]:
        folder = self._folder_of(address)
        if folder is None:
            self.losses.append(
                Loss(
                    run=run,
                    what="artifacts",
                    reason=f"they lie at {address}; name their folder (--artifacts)",
                )
            )
            return
        yield from _files_below(folder)

    def _folder_of(self, address: str) -> Path | None:
        """Return the folder of a run's artifacts below the given root; the database names no other place on this machine."""
        if self._artifacts is None:
            return None
        parts = [part for part in Path(unquote(urlparse(address).path or address)).parts if part != "/"]
        for start in range(len(parts)):
            folder = self._artifacts.joinpath(*parts[start:]).resolve()
            if folder.is_dir() and folder.is_relative_to(self._artifacts):
                return folder
        return None


def _by_run(connection: sa.Connection, table: str) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for run, key, value in connection.execute(sa.text(f"SELECT run_uuid, key, value FROM {table}")):
        found[str(run)][str(key)] = str(value)
    return found


def _count(connection: sa.Connection, table: str) -> int:
    if not sa.inspect(connection).has_table(table):
        return 0
    return int(connection.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar_one())


def _foreign(  # noqa: PLR0913 - what a run is
    *,
    id: str,  # noqa: A002 - the field of the record
    experiment: str,
    name: str,
    status: str,
    start: Any,
    end: Any,
    is_deleted: bool,
    params: Mapping[str, str],
    tags: Mapping[str, str],
    series: Any,
    artifacts: Any,
) -> ForeignRun:
    others = {key: value for key, value in tags.items() if key not in (_NOTE, _NAME, _PARENT)}
    return ForeignRun(
        id=id,
        experiment="default" if experiment == "Default" else experiment,
        name=name or tags.get(_NAME, ""),
        status=_STATUS.get(status, "finished"),
        started_at=_time(start) or datetime.fromtimestamp(0, UTC),
        ended_at=_time(end),
        params={key: plain_of(value) for key, value in params.items()},
        tags=others,
        note=tags.get(_NOTE, ""),
        parent=tags.get(_PARENT, ""),
        is_deleted=is_deleted,
        series=series,
        artifacts=artifacts,
    )


def _time(milliseconds: object) -> datetime | None:
    if not isinstance(milliseconds, int | float) or not milliseconds:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
