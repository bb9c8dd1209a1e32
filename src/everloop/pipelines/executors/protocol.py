"""What the engine asks of an executor. Every executor passes `everloop.testing.executors` (tests/contract/test_executors.py)."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from everloop.core.digests import Digest
from everloop.core.errors import InvalidInputError
from everloop.pipelines.records import Artifact

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from everloop.kernel.operations import Kernel
    from everloop.pipelines.codecs.protocol import Store
    from everloop.pipelines.steps import AnyStep


class UnknownExecutorError(InvalidInputError):
    """No executor has this name."""

    code = "pipelines.unknown-executor"


class Binding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An argument with its values by reference: an artifact, or a list, tuple or dict of bindings."""

    kind: Literal["artifact", "list", "tuple", "dict"]
    artifact: Artifact | None = None
    items: list[Binding] = []
    keys: list[str] = []


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to make: which function, on which artifacts.

    Attributes:
        run, node, attempt: name the attempt.
        step: `module:name` of the function in the bundle.
        arguments: by parameter name; values travel by digest, never in the task.
        outputs: how many values a declared tuple has; None for one value.
        timeout_s: the attempt fails when it takes longer.
        cpus, gpus: what it takes of a machine, for executors that place attempts.
        memory_bytes: an attempt that takes more has failed, in executors with processes.
        env: a lock file of the project; the attempt runs in an environment made from it.
    """

    run: str
    node: str
    attempt: int
    step: str
    arguments: dict[str, Binding]
    outputs: int | None = None
    timeout_s: float | None = None
    cpus: float = 1.0
    memory_bytes: int | None = None
    gpus: float = 0.0
    env: str = ""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt ended; its outputs are stored before it is told.

    Attributes:
        outputs: what it returned.
        error: traceback, or what ended it; the last line is the reason.
        log: the last lines it printed, with the time of each.
        log_object: the whole log, compressed, when it is longer.
        log_bytes: its length, with what was dropped in the middle.
        peak_bytes: the most memory its processes were seen to use; 0 when nobody looked.
        worker: which process.
    """

    node: str
    attempt: int
    status: Literal["done", "failed", "timed_out", "lost"]
    outputs: list[Artifact] = []
    error: str = ""
    log: str = ""
    log_object: Digest | None = None
    log_bytes: int = 0
    peak_bytes: int = 0
    worker: str = ""


@dataclass(frozen=True)
class ExecutorContext:
    """What an executor is given.

    Attributes:
        kernel: of the engine's process; an executor in other processes sends its settings there.
        store: where artifacts are written.
        steps: the step of each node, for executors that run in this process.
        bundle: the code, for those that do not; None when the pipeline cannot be imported.
        bundle_root: folder with the bundle's files.
        workers: steps at a time; 0 leaves it to the executor.
    """

    kernel: Kernel
    store: Store
    steps: Mapping[str, AnyStep]
    bundle: Digest | None
    bundle_root: Path | None
    workers: int


class Executor(Protocol):
    """Runs attempts of steps.

    Guarantees: one thread calls it. Each started task has exactly one outcome. An outcome is told only after its
    outputs are stored. Outcomes come in the order in which attempts end. A worker that dies gives `lost`, never silence.
    A step sees values read back from the store, never the objects of another step. After `close` nothing runs.
    """

    def capacity(self) -> int:
        """Return how many further tasks it would run at once."""
        ...

    def start(self, task: Task) -> None:
        """Accept a task; it may run now or in `wait`."""
        ...

    def wait(self, timeout_s: float) -> list[Outcome]:
        """Return what ended, waiting up to `timeout_s` for the first."""
        ...

    def close(self) -> None:
        """End what runs, without waiting for results, and release every resource."""
        ...


_KNOWN = {
    "inline": "everloop.pipelines.executors.inline:InlineExecutor",
    "process": "everloop.pipelines.executors.process:ProcessExecutor",
    "ray": "everloop.pipelines.executors.ray:RayExecutor",
}


def check_executor(name: str) -> None:
    """Refuse a name that no executor has."""
    if name not in _KNOWN:
        raise UnknownExecutorError(
            f"{name!r} is no executor. There are: {', '.join(sorted(_KNOWN))}.", subject=name
        )


def open_executor(name: str, context: ExecutorContext) -> Executor:
    """Return an executor by name.

    Raises:
        UnknownExecutorError: there is none of that name.
    """
    check_executor(name)
    module, _, attribute = _KNOWN[name].partition(":")
    kind: Any = getattr(importlib.import_module(module), attribute)
    executor: Executor = kind(context)
    return executor
