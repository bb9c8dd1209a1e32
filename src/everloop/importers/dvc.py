"""DVC experiments: the commits that DVC keeps below `refs/exps`, read by Git alone. Tests: tests/unit/importers/test_dvc.py.

Params come from the files that `dvc.yaml` names and from `params.yaml`; metrics from the files it names; series from the tables of DVCLive.
"""

from __future__ import annotations

import csv
import functools
import io
import json
import shutil
import subprocess
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from everloop.importers.records import BadSourceError, ForeignRun, ImporterMissingError, Loss, Series
from everloop.tracking.client import flatten

if TYPE_CHECKING:
    from collections.abc import Iterator

_EXPERIMENTS = "refs/exps/"


def open_source(place: str) -> _Repository:
    """Return the source at a Git repository."""
    try:
        import yaml  # noqa: F401 - presence check
    except ImportError as error:
        raise ImporterMissingError(
            "files of DVC are read with PyYAML. Install it: pip install 'everloop[importers]'."
        ) from error
    git = shutil.which("git")
    if git is None or not (Path(place) / ".git").exists():
        raise BadSourceError(
            f"{place} is no Git repository, or git is not installed. Give the repository of the project.",
            subject=place,
        )
    return _Repository(git, place)


class _Repository:
    kind = "dvc"

    def __init__(self, git: str, place: str) -> None:
        self.place = place
        self.losses: list[Loss] = []
        self._git = git

    def runs(self) -> Iterator[ForeignRun]:
        """Yield a run for each experiment; those of one branch and baseline share an experiment."""
        listing = self._run("for-each-ref", "--format=%(objectname) %(refname)", _EXPERIMENTS).decode()
        for line in listing.splitlines():
            commit, ref = line.split(" ", 1)
            parts = ref.removeprefix(_EXPERIMENTS).split("/")
            # refs/exps/ab/cdef…/name, where ab/cdef… is the commit it began from; others are DVC's own.
            if len(parts) == 3 and len(parts[0]) == 2:
                yield self._experiment(commit, parts[0] + parts[1], parts[2])

    def _experiment(self, commit: str, baseline: str, name: str) -> ForeignRun:
        moment = datetime.fromisoformat(self._run("show", "-s", "--format=%cI", commit).decode().strip())
        files = self._run("ls-tree", "-r", "--name-only", "-z", commit).decode().split("\0")
        params, metrics = self._named_files(commit, files)
        found: dict[str, Any] = {}
        for file in params:
            found |= self._document(commit, file) or {}
        return ForeignRun(
            id=f"{commit}/{name}",
            experiment=Path(self.place).resolve().name,
            name=name,
            started_at=moment,
            ended_at=moment,
            params=flatten(found),
            tags={"git.commit": commit, "dvc.baseline": baseline},
            series=functools.partial(self._series, commit, files, metrics, round(moment.timestamp() * 1e6)),
        )

    def _named_files(self, commit: str, files: list[str]) -> tuple[list[str], list[str]]:
        """Return the files of params and of metrics that are in a commit."""
        params, metrics = {"params.yaml"}, {"metrics.json", "dvclive/metrics.json", "metrics.yaml"}
        for file in files:
            if PurePosixPath(file).name != "dvc.yaml":
                continue
            folder = PurePosixPath(file).parent
            document = self._document(commit, file) or {}
            for stage in [document, *(document.get("stages") or {}).values()]:
                for one in stage.get("metrics") or []:
                    metrics.add(str(folder / (one if isinstance(one, str) else next(iter(one)))))
                for one in stage.get("params") or []:
                    if isinstance(one, dict):
                        params.update(str(folder / name) for name in one)
                    elif "." in one and one.endswith((".yaml", ".json", ".toml")):
                        params.add(str(folder / one))
        return [file for file in files if file in params], [file for file in files if file in metrics]

    def _series(self, commit: str, files: list[str], metrics: list[str], time: int) -> Iterator[Series]:
        seen: set[str] = set()
        for file in files:
            path = PurePosixPath(file)
            if path.suffix == ".tsv" and "plots/metrics" in file:
                name = str(path.with_suffix("")).partition("plots/metrics/")[2]
                series = _table(name, self._run("show", f"{commit}:{file}").decode(), time)
                if series is not None:
                    seen.add(name)
                    yield series
        for file in metrics:
            for name, value in flatten(self._document(commit, file) or {}).items():
                plain = name.replace(".", "/")
                if isinstance(value, int | float) and not {name, plain} & seen:
                    seen.add(name)
                    yield Series(name, np.zeros(1), np.array([time], np.int64), np.array([float(value)]))

    def _document(self, commit: str, file: str) -> dict[str, Any] | None:
        import tomllib

        import yaml

        content = self._run("show", f"{commit}:{file}").decode(errors="replace")
        try:
            if file.endswith(".json"):
                found = json.loads(content)
            elif file.endswith(".toml"):
                found = tomllib.loads(content)
            else:
                found = yaml.safe_load(content)
        except (ValueError, yaml.YAMLError) as error:
            self.losses.append(Loss(run=commit, what=file, reason=f"it cannot be read: {error}"))
            return None
        return found if isinstance(found, dict) else None

    def _run(self, *arguments: str) -> bytes:
        done = subprocess.run([self._git, "-C", self.place, *arguments], capture_output=True, check=False)  # noqa: S603 - git, with names that git gave
        if done.returncode:
            raise BadSourceError(
                f"git {arguments[0]} fails in {self.place}: {done.stderr.decode().strip()}",
                subject=self.place,
            )
        return done.stdout


def _table(name: str, text: str, time: int) -> Series | None:
    rows = list(csv.DictReader(io.StringIO(text), delimiter="\t"))
    column = next((one for one in (rows[0] if rows else {}) if one not in ("step", "timestamp")), None)
    if column is None:
        return None
    times = [int(row["timestamp"]) * 1000 if (row.get("timestamp") or "").isdigit() else time for row in rows]
    steps = [float(row.get("step") or at) for at, row in enumerate(rows)]
    return Series(
        name, np.array(steps), np.array(times, np.int64), np.array([float(row[column]) for row in rows])
    )
