"""What tracking keeps: frozen records that travel as JSON. Tests: tests/unit/tracking."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Literal

import msgspec

from everloop.core.digests import Digest

RunStatus = Literal["running", "finished", "failed", "killed"]
Plain = str | int | float | bool | None
Mark = Literal["", "nan", "inf", "-inf"]
MediaKind = Literal[
    "text", "vector", "histogram", "image", "audio", "video", "html", "plotly", "points", "table"
]


class Capture(msgspec.Struct, frozen=True, kw_only=True):
    """What a run executed: code and environment, found without being asked.

    Attributes:
        commit, branch: of the git work tree of the script; empty outside one.
        diff: object with `git diff HEAD`, when the tree was dirty.
        script: path of the main script, relative to the work tree where there is one.
        command: the command line.
        python, platform: versions as the interpreter names them.
        environment: object with the installed distributions, one `name==version` a line.
    """

    commit: str = ""
    branch: str = ""
    diff: Digest | None = None
    script: str = ""
    command: list[str] = []
    python: str = ""
    platform: str = ""
    environment: Digest | None = None


class DatasetInput(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset version that a run read: `flights@v3` under the name the run calls it by."""

    name: str
    ref: str
    digest: str = ""


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """The latest value of a metric: that of the greatest step, then time, then value.

    Attributes:
        value: None stands for a number that is not finite, which `mark` then names.
        least, greatest: of the values that are numbers.
        count: points that arrived.
    """

    name: str
    value: float | None
    step: float
    time: datetime
    mark: Mark = ""
    least: float | None = None
    greatest: float | None = None
    count: int = 1


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One value of a metric at a step; None stands for a number that is not finite, which `mark` then names."""

    name: str
    value: float | None
    step: float
    time: datetime
    mark: Mark = ""


class MediaPoint(msgspec.Struct, frozen=True, kw_only=True):
    """A value that is no number, at a step, as it travels: with its content, or the digest of an object that holds it.

    Attributes:
        time: microseconds since 1970.
        index: place among several of one name at one step.
        media_type: of the content, like `image/png`.
        size_bytes: of the content.
        details: what a reader needs to know before it opens the content.
    """

    name: str
    kind: MediaKind
    step: float
    time: int
    index: int = 0
    media_type: str
    content: bytes = b""
    digest: Digest | None = None
    size_bytes: int
    details: dict[str, Plain] = {}


class MediaItem(msgspec.Struct, frozen=True, kw_only=True):
    """A picture, sound, table, text or distribution that a run logged.

    Attributes:
        index: place among several of one name at one step.
        content: of small ones; empty where `digest` names an object.
    """

    run: str
    name: str
    kind: MediaKind
    step: float
    index: int
    time: datetime
    media_type: str
    size_bytes: int
    content: bytes = b""
    digest: Digest | None = None
    details: dict[str, Plain] = {}


class PrintedLine(msgspec.Struct, frozen=True, array_like=True):
    """A line that a program printed, as it travels.

    Attributes:
        time: microseconds since 1970.
        is_error: it went to standard error.
    """

    time: int
    is_error: bool
    text: str


class OutputLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line that a run printed; colours are kept as they came (ANSI).

    Attributes:
        number: place in the run's output, from 0.
    """

    number: int
    time: datetime
    stream: Literal["stdout", "stderr"]
    text: str


class RunArtifact(msgspec.Struct, frozen=True, kw_only=True):
    """A named output of a run."""

    run: str
    name: str
    digest: Digest
    size_bytes: int
    created_at: datetime


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One execution of a script or a pipeline.

    Attributes:
        owner: who started it.
        note: text of people about it.
        parent: id of the run around it.
        fork_of, fork_step: the run whose series this one goes on with, and the last step it takes from there.
        deleted_at: since when it is in the trash.
    """

    id: str
    experiment: str
    name: str
    status: RunStatus
    created_at: datetime
    ended_at: datetime | None = None
    deleted_at: datetime | None = None
    error: str = ""
    owner: str = ""
    note: str = ""
    parent: str = ""
    fork_of: str = ""
    fork_step: float | None = None
    params: dict[str, Plain] = {}
    tags: dict[str, str] = {}
    metrics: list[Metric] = []
    inputs: list[DatasetInput] = []
    capture: Capture = Capture()

    def _repr_html_(self) -> str:
        """Return the run as HTML, for notebooks."""
        from everloop.tracking.drawing import run_of

        return run_of(self)


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """A named group of runs.

    Attributes:
        id: its number, which survives a new name.
        runs: how many are not in the trash.
    """

    id: int
    name: str
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None = None
    tags: dict[str, str] = {}
    runs: int = 0


class View(msgspec.Struct, frozen=True, kw_only=True):
    """A search under a name."""

    name: str
    filter: str = ""
    order_by: list[str] = []
    columns: list[str] = []
    group_by: list[str] = []
    owner: str = ""


def mark_of(value: float | None) -> tuple[float | None, Mark]:
    """Return a number as JSON can hold it, and the mark of one that is not finite."""
    if value is None or math.isnan(value):
        return None, "nan"
    if math.isinf(value):
        return None, "inf" if value > 0 else "-inf"
    return value, ""
