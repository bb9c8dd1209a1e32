"""What pipelines keep: frozen records that travel as JSON. Tests: tests/unit/pipelines."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

from everloop.core.digests import Digest

RunStatus = Literal["queued", "running", "waiting", "finished", "failed", "cancelled"]
StepStatus = Literal[
    "pending",
    "running",
    "waiting",
    "done",
    "cached",
    "skipped",
    "failed",
    "upstream_failed",
    "cancelled",
]
NodeKind = Literal["step", "map", "approval"]
Decision = Literal["", "approved", "rejected", "expired"]
AttemptStatus = Literal["running", "done", "failed", "timed_out", "lost"]
Json = Any
"""A plain value: what JSON holds. It is what users pass as params, so no narrower type exists."""

ENDED: frozenset[str] = frozenset({"finished", "failed", "cancelled"})
HAS_OUTPUT: frozenset[str] = frozenset({"done", "cached"})
LIST = -1
"""Of `Node.outputs`: a list, each item of which is stored on its own."""


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
        priority: of steps that could start, those with a higher one start first.
        cpus: processors the step uses, for executors that place steps.
        memory_bytes: an attempt that takes more has failed, in executors that can tell.
        gpus: accelerators it needs.
        env: a lock file of the project; the step runs in an environment of its own made from it.
    """

    retries: int = 0
    backoff_s: float = 1.0
    timeout_s: float | None = None
    cache: bool = True
    ttl_s: float | None = None
    on: tuple[str, ...] = ()
    priority: int = 0
    cpus: float = 1.0
    memory_bytes: int | None = None
    gpus: float = 0.0
    env: str = ""


class Argument(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a step's argument comes from: an input, an earlier step, a constant, or a list or dict of these.

    `either` takes the last of its items whose step was not skipped.
    """

    kind: Literal["input", "step", "value", "file", "list", "tuple", "dict", "either"]
    name: str = ""
    item: int | None = None
    value: Json = None
    items: list[Argument] = []
    keys: list[str] = []


class ApprovalRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a person is asked before a value flows on.

    Attributes:
        message: the question.
        role: whoever has it, or is admin, may answer.
        timeout_s: without an answer for so long the request has expired, which counts as a refusal.
    """

    message: str
    role: str
    timeout_s: float | None = None


class Node(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One step in a graph.

    Attributes:
        name: unique in its graph: the step's name, with `#2` for its second use.
        step: module and name of the function.
        arguments: by parameter name.
        outputs: how many values it returns; None for one that is not a tuple, `LIST` for a list that another step maps over.
        options: how it runs.
        kind: a step; a step for each item of a list (`map`); a question to a person (`approval`).
        mapped: of a map, the parameters that get one item each.
        condition: the step runs only where this value is true, or false where `wanted` says so; else it is skipped.
        approval: what is asked.
    """

    name: str
    step: str
    arguments: dict[str, Argument]
    outputs: int | None = None
    options: StepOptions = StepOptions()
    kind: NodeKind = "step"
    mapped: tuple[str, ...] = ()
    condition: Argument | None = None
    wanted: bool = True
    approval: ApprovalRequest | None = None


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
        executor: `inline`, `process` or `ray`; empty for the one that the settings of the executing process name.
        cache: whether results of earlier runs are taken; None follows the place (off under pytest).
        refresh: nodes that run again although the cache holds them.
        workers: steps at a time, for executors that have several; 0 follows the settings.
        priority: of queued runs, those with a higher one start first.
        pool: runs of one pool run no more at a time than the pool allows; empty for no limit.
    """

    executor: str = ""
    cache: bool | None = None
    refresh: tuple[str, ...] = ()
    workers: int = 0
    priority: int = 0
    pool: str = ""


class PipelineVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A registered pipeline: its code bundle, where it begins, its graph."""

    name: str
    bundle: Digest
    entry: str
    graph: Graph
    updated_at: datetime


class StepRun(msgspec.Struct, frozen=True, kw_only=True):
    """One node of one run; the items of a map are nodes too, `score[0]`, and `item` counts them from 1."""

    run: str
    node: str
    position: int
    item: int = 0
    status: StepStatus
    attempts: int = 0
    key: CacheKey | None = None
    outputs: list[Artifact] = []
    reason: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try of a step: how it ended, its traceback, the last lines of its log, the most memory it was seen to use."""

    run: str
    node: str
    number: int
    status: AttemptStatus
    worker: str
    started_at: datetime
    ended_at: datetime | None = None
    error: str = ""
    log: str = ""
    log_object: Digest | None = None
    log_bytes: int = 0
    peak_bytes: int = 0


class LogPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some lines of an attempt's log, each with the time at which it came.

    Attributes:
        text: whole lines, as far as they are there.
        position: where to go on reading.
        dropped_bytes: of the middle of a long log, before this text.
        is_ended: nothing follows after `position`.
        status: of the attempt.
    """

    node: str
    attempt: int
    text: str
    position: int
    dropped_bytes: int = 0
    is_ended: bool = False
    status: AttemptStatus = "running"


class StepApproval(msgspec.Struct, frozen=True, kw_only=True):
    """A question to a person, and the answer; `decision` is empty while it is open."""

    run: str
    node: str
    pipeline: str
    message: str
    role: str
    asked_at: datetime
    expires_at: datetime | None = None
    decision: Decision = ""
    decided_by: str = ""
    decided_at: datetime | None = None
    comment: str = ""


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


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """How many runs that name it are executed at a time by workers."""

    name: str
    slots: int


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
