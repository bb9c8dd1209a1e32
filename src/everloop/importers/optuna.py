"""Optuna: the studies of a storage; each is an experiment, and each trial a run. Tests: tests/unit/importers/test_optuna.py."""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from everloop.importers.records import BadSourceError, ForeignRun, ImporterMissingError, Loss, Series

if TYPE_CHECKING:
    from collections.abc import Iterator

    from everloop.tracking.records import Plain, RunStatus

_STATUS: dict[str, RunStatus] = {
    "COMPLETE": "finished", "PRUNED": "finished", "FAIL": "failed", "RUNNING": "running", "WAITING": "running",
}  # fmt: skip


def open_source(place: str) -> _Studies:
    """Return the source at a file or the URL of a database."""
    try:
        import optuna
    except ImportError as error:
        raise ImporterMissingError(
            "storages of Optuna are read with Optuna. Install it: pip install 'everloop[tune]'."
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        return _Studies(place, _storage(place))
    except Exception as error:
        raise BadSourceError(
            f"{place} cannot be read as a storage of Optuna: {error}. Give an SQLite file, a journal, or a database's URL.",
            subject=place,
        ) from error


def _storage(place: str) -> Any:
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    if "://" in place:
        return RDBStorage(place)
    path = Path(place)
    with path.open("rb") as file:
        if file.read(15) == b"SQLite format 3":
            # Read-only: opening a storage may bring its tables up to date.
            return RDBStorage(
                f"sqlite:///file:{path.absolute()}?mode=ro&uri=true",
                skip_compatibility_check=True,
                skip_table_creation=True,
            )
    with path.open("rb") as file:
        if "op_code" not in msgspec.json.decode(file.readline()):
            raise ValueError("its first line is no entry of a journal")
    return JournalStorage(JournalFileBackend(str(path)))


class _Studies:
    kind = "optuna"

    def __init__(self, place: str, storage: Any) -> None:
        self.place = place
        self.losses: list[Loss] = []
        self._storage = storage

    def runs(self) -> Iterator[ForeignRun]:
        """Yield the trials of all studies."""
        for study in self._storage.get_all_studies():
            directions = [direction.name.lower() for direction in study.directions]
            for trial in self._storage.get_all_trials(study._study_id, deepcopy=False):  # noqa: SLF001 - its only name for it
                yield self._run(study.study_name, directions, trial)

    def _run(self, study: str, directions: list[str], trial: Any) -> ForeignRun:
        state = trial.state.name
        tags = {"optuna.state": state.lower(), "optuna.directions": ", ".join(directions)}
        tags |= {name: str(value) for name, value in trial.user_attrs.items()}
        started = _moment(trial.datetime_start)
        return ForeignRun(
            id=f"{study}/{trial.number}",
            experiment=study,
            name=f"trial {trial.number}",
            status=_STATUS[state],
            started_at=started,
            ended_at=_moment(trial.datetime_complete) if trial.datetime_complete else None,
            params={name: _plain(value) for name, value in trial.params.items()},
            tags=tags,
            series=functools.partial(_series, trial, started),
        )


def _series(trial: Any, started: datetime) -> Iterator[Series]:
    values = trial.values or []
    ended = round(
        (_moment(trial.datetime_complete) if trial.datetime_complete else started).timestamp() * 1e6
    )
    for at, value in enumerate(values):
        name = "value" if len(values) == 1 else f"value{at}"
        yield Series(name, np.zeros(1), np.array([ended], np.int64), np.array([float(value)]))
    steps = sorted(trial.intermediate_values)
    if steps:
        begin = round(started.timestamp() * 1e6)
        found = [float(trial.intermediate_values[step]) for step in steps]
        yield Series(
            "intermediate_value",
            np.array(steps, float),
            np.full(len(steps), begin, np.int64),
            np.array(found),
        )


def _plain(value: object) -> Plain:
    return value if isinstance(value, bool | int | float | str) or value is None else str(value)


def _moment(value: datetime | None) -> datetime:
    """Return a local time without zone, as Optuna keeps it, in UTC."""
    return datetime.fromtimestamp(0, UTC) if value is None else value.astimezone(UTC)
