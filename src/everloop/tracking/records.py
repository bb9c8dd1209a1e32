"""What tracking keeps: frozen records that travel as JSON. Tests: tests/unit/tracking."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from everloop.core.digests import Digest

RunStatus = Literal["running", "finished", "failed", "killed"]
Plain = str | int | float | bool | None


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
    """The last value of a metric; None stands for a number that is not finite."""

    name: str
    value: float | None
    step: float
    time: datetime


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One value of a metric at a step."""

    name: str
    value: float | None
    step: float
    time: datetime


class RunArtifact(msgspec.Struct, frozen=True, kw_only=True):
    """A named output of a run."""

    run: str
    name: str
    digest: Digest
    size_bytes: int
    created_at: datetime


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One execution of a script or a pipeline."""

    id: str
    experiment: str
    name: str
    status: RunStatus
    created_at: datetime
    ended_at: datetime | None = None
    error: str = ""
    params: dict[str, Plain] = {}
    tags: dict[str, str] = {}
    metrics: list[Metric] = []
    inputs: list[DatasetInput] = []
    capture: Capture = Capture()


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """A named group of runs."""

    name: str
    created_at: datetime
    runs: int = 0
