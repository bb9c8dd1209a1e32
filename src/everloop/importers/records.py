"""What importers yield and report. Tests: tests/unit/importers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from everloop.core.errors import InvalidInputError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from everloop.tracking.media import Media
    from everloop.tracking.records import MediaPoint, Plain, PrintedLine, RunStatus


class BadSourceError(InvalidInputError):
    """The files of another tracker cannot be read, or are not of the kind that was named."""

    code = "import.bad-source"


class ImporterMissingError(MissingExtraError):
    """A library that reads these files is not installed."""

    code = "import.library-missing"


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was not brought, and why."""

    run: str
    what: str
    reason: str


class Imported(msgspec.Struct, kw_only=True):
    """What an import found and wrote.

    Attributes:
        kind, place: the source.
        is_dry: whether nothing was written.
        runs: found; new_runs of them were not here.
        points: found; new_points of them were not here. None is rounded: steps and values stay doubles, times keep microseconds.
        params, tags, media, lines, artifacts: found.
        artifact_bytes: of the artifacts.
        losses: what was not brought.
    """

    kind: str
    place: str
    is_dry: bool
    runs: int = 0
    new_runs: int = 0
    points: int = 0
    new_points: int = 0
    params: int = 0
    tags: int = 0
    media: int = 0
    lines: int = 0
    artifacts: int = 0
    artifact_bytes: int = 0
    losses: list[Loss] = []


class Moment(NamedTuple):
    """Where a value belongs: the run it is of, its name, step, and time in microseconds since 1970."""

    run: str
    name: str
    step: float
    time: int


def show(
    losses: list[Loss], at: Moment, make: Callable[[], Media], *, index: int = 0
) -> Iterator[MediaPoint]:
    """Yield a value to keep; one that cannot be kept, too large or of a wrong form, is reported, and the others of its run come."""
    try:
        yield make().encoded.at(at.name, at.step, at.time, index=index)
    except InvalidInputError as error:
        losses.append(Loss(run=at.run, what=f"{at.name} at step {at.step:g}", reason=str(error)))


class Series(NamedTuple):
    """Points of one metric: arrays of shape (n,), doubles and whole numbers of 64 bits; times in microseconds since 1970."""

    name: str
    steps: npt.NDArray[np.float64]
    times: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]


def _nothing() -> Iterator[object]:
    return iter(())


@dataclass(kw_only=True)
class ForeignRun:
    """A run of another tracker; what is large is read when it is asked for.

    Attributes:
        id: unique in the source; 32 hexadecimal digits are kept as the id here.
        parent, fork_of: ids in the source.
        artifacts: names, each with the bytes or the file.
        is_deleted: it lies in the trash there, and will here.
    """

    id: str
    started_at: datetime
    experiment: str = "default"
    name: str = ""
    status: RunStatus = "finished"
    error: str = ""
    ended_at: datetime | None = None
    params: dict[str, Plain] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    note: str = ""
    parent: str = ""
    fork_of: str = ""
    fork_step: float | None = None
    is_deleted: bool = False
    series: Callable[[], Iterable[Series]] = _nothing  # type: ignore[assignment] # nothing of any kind
    media: Callable[[], Iterable[MediaPoint]] = _nothing  # type: ignore[assignment] # as above
    lines: Callable[[], Iterable[PrintedLine]] = _nothing  # type: ignore[assignment] # as above
    artifacts: Callable[[], Iterable[tuple[str, bytes | Path]]] = _nothing  # type: ignore[assignment] # as above


class Source(Protocol):
    """The files of another tracker.

    Attributes:
        kind: `mlflow`, `wandb` and so on.
        place: where the files lie, for people.
        losses: what is found that cannot be brought; grows while runs are read.
    """

    kind: str
    place: str
    losses: list[Loss]

    def runs(self) -> Iterator[ForeignRun]:
        """Yield the runs.

        Raises:
            BadSourceError: the files cannot be read.
        """
        ...
