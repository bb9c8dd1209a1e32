"""What pipelines keep: frozen records that travel as JSON. Tests: tests/unit/pipelines."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

from everloop.core.digests import Digest

RunStatus = Literal["queued", "running", "finished", "failed", "cancelled"]
StepStatus = Literal["pending", "running", "done", "cached", "failed", "upstream_failed", "cancelled"]
AttemptStatus = Literal["running", "done", "failed", "timed_out", "lost"]
CatchUp = Literal["latest", "all", "none"]
Json = Any
"""A plain value: what JSON holds. It is what users pass as params, so no narrower type exists."""

ENDED: frozenset[str] = frozenset({"finished", "failed", "cancelled"})
HAS_OUTPUT: frozenset[str] = frozenset({"done", "cached"})


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """Where a value is and how to read it back; two equal contents have equal digests.

    Attributes:
        codec: name of the codec that wrote it: `json`, `arrow`, `table`, ...
        digest: of the content, as it enters cache keys.
        objects: objects that hold the content, by name inside the artifact.
        inline: the content itself as JSON text, when it is small and plain.
        facts: what the codec needs besides the bytes.
    """

    codec: str
    digest: Digest
    objects: dict[str, Digest] = {}
    inline: str | None = None
    facts: dict[str, Json] = {}


class StepOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a step runs; none of it is part of the cache key but `on`.

    Attributes:
        retries: further attempts after the first that failed.
        backoff_s: pause before the first retry; it doubles each time, up to a minute.
        timeout_s: an attempt that takes longer has failed; the process executor ends it.
        cache: whether a result may be taken from an earlier run.
        ttl_s: results older than this are not taken.
        on: names of environment variables whose values count as inputs.
    """

    retries: int = 0
    backoff_s: float = 1.0
    timeout_s: float | None = None
    cache: bool = True
    ttl_s: float | None = None
    on: tuple[str, ...] = ()


class Argument(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a step's argument comes from: an input, an earlier step, a constant, or a list or dict of these."""

    kind: Literal["input", "step", "value", "file", "list", "tuple", "dict"]
    name: str = ""
    item: int | None = None
    value: Json = None
    items: list[Argument] = []
    keys: list[str] = []


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One step in a graph.

    Attributes:
        name: unique in its graph: the step's name, with `#2` for its second use.
        step: module and name of the function.
        arguments: by parameter name.
        outputs: how many values it returns; None for one that is not a tuple.
        options: how it runs.
    """

    name: str
    step: str
    arguments: dict[str, Argument]
    outputs: int | None = None
    options: StepOptions = StepOptions()


class Graph(msgspec.Struct, frozen=True, kw_only=True):
    """A traced pipeline: its inputs by name with their kind, its nodes in an order that can run, its result."""

    name: str
    inputs: dict[str, str]
    nodes: list[Node]
    result: Argument


class CacheKey(msgspec.Struct, frozen=True, kw_only=True):
    """A step's cache key and the parts it is made of, by readable name."""

    digest: Digest
    parts: dict[str, str]
    opaque: list[str] = []


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a run is executed.

    Attributes:
        executor: `inline` or `process`.
        cache: whether results of earlier runs are taken; None follows the place (off under pytest).
        refresh: nodes that run again although the cache holds them.
        workers: steps at a time, for executors that have several.
    """

    executor: str = "inline"
    cache: bool | None = None
    refresh: tuple[str, ...] = ()
    workers: int = 1


class PipelineVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A registered pipeline: its code bundle, where it begins, its graph."""

    name: str
    bundle: Digest
    entry: str
    graph: Graph
    updated_at: datetime


class StepRun(msgspec.Struct, frozen=True, kw_only=True):
    """One node of one run."""

    run: str
    node: str
    position: int
    status: StepStatus
    attempts: int = 0
    key: CacheKey | None = None
    outputs: list[Artifact] = []
    reason: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try of a step: how it ended, its traceback, and its log lines."""

    run: str
    node: str
    number: int
    status: AttemptStatus
    worker: str
    started_at: datetime
    ended_at: datetime | None = None
    error: str = ""
    log: str = ""


class PipelineRun(msgspec.Struct, frozen=True, kw_only=True):
    """One execution of a pipeline; the tracked run of the same id has its metrics."""

    id: str
    pipeline: str
    status: RunStatus
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    bundle: Digest | None = None
    entry: str = ""
    inputs: dict[str, Artifact] = {}
    outputs: list[Artifact] = []
    options: RunOptions = RunOptions()
    error: str = ""
    note: str = ""
    origin: str = ""
    steps: list[StepRun] = []


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why a step ran or was taken from the cache: which parts of its key differ from the nearest earlier run."""

    node: str
    status: StepStatus
    compared_with: str
    changed: list[str]
    added: list[str]
    removed: list[str]
    opaque: list[str]
    sentence: str


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """What starts runs of a pipeline: a cron expression in a time zone, or new versions of a dataset.

    Attributes:
        cron: five fields; empty for a trigger.
        timezone: IANA name.
        dataset: name of the dataset whose new versions start a run; empty for a cron schedule.
        inputs: plain params and dataset refs for each run; a trigger passes the version under `dataset_input`.
        catch_up: what happens to ticks that no scheduler saw: only the `latest`, `all`, or `none`.
        position: of the last event a trigger has seen.
        seen_until: nominal time up to which ticks were considered.
    """

    id: str
    pipeline: str
    cron: str = ""
    timezone: str = "UTC"
    dataset: str = ""
    dataset_input: str = ""
    inputs: dict[str, Json] = {}
    catch_up: CatchUp = "latest"
    is_paused: bool = False
    created_at: datetime
    seen_until: datetime
    position: int = 0
    options: RunOptions = RunOptions()


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    """One nominal time, or one event, for which a schedule started a run."""

    schedule: str
    nominal: str
    run: str
    created_at: datetime
