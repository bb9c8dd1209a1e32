"""Run steps on a Ray cluster: Ray chooses the node and holds processors, accelerators and memory; a worker process there makes the attempt.

A Ray task only hosts the attempt: it hands the task to the process executor of its node, so that limits, time-outs, logs and
the end of children are the same as without Ray, and two versions of a module never meet in one interpreter. Values travel
through the object store by digest; Ray carries the task and its outcome, a few kilobytes. Every node needs Everloop, the
catalog and the object store of the home.

Retries are the engine's, so Ray's own are off: each attempt is counted, and has its log. A process speaks with one cluster,
until it ends. Tests: tests/contract/test_executors_ray.py, tests/integration/test_ray.py.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import socket
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from everloop.core.digests import Digest
from everloop.core.errors import UnavailableError
from everloop.pipelines.bundles import NotImportableError
from everloop.pipelines.executors.protocol import ExecutorContext, Outcome, Task
from everloop.pipelines.spools import remove, spool_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from everloop.kernel.operations import Kernel

# Of a Ray that is started here. Nothing of ours is kept in Ray's store, and 75 MiB is the least that Ray takes.
_STORE_BYTES = 100 << 20
# A cancelled Ray task is interrupted between two looks at its attempt.
_LOOK_S = 0.2
# It ends its attempt and what that started; only then is its process killed.
_END_S = 10.0
# So old may be what is known of the nodes.
_NODES_S = 1.0
# Tasks given to Ray beyond its processors, so that none is idle between two; a task that asks for less counts as this much.
_AHEAD = 2
_LEAST_CPUS = 0.1


class RayMissingError(UnavailableError):
    """The library is not installed."""

    code = "pipelines.ray-missing"


class RayUnreachableError(UnavailableError):
    """There is no cluster at the address."""

    code = "pipelines.ray-unreachable"


class NoSuchNodeError(UnavailableError):
    """No node of the cluster is large enough for a step; it is told in the attempt, never raised."""

    code = "pipelines.no-such-node"


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """What a node is told besides the task: how to open the home, which code, and where the engine is."""

    settings: dict[str, object]
    bundle: Digest
    engine: str


class RayExecutor:
    """Runs each task as a Ray task, which holds what the step declares; `workers` bounds how many are given to Ray at once."""

    def __init__(self, context: ExecutorContext) -> None:
        if context.bundle is None:
            raise NotImportableError(
                "the Ray executor needs a pipeline that another process can import. Move it and its steps to the top level of"
                " a module, or use the inline executor."
            )
        self._ray = connect(context.kernel.settings.executor_address)
        self._host = msgspec.json.encode(
            Host(
                settings=msgspec.to_builtins(context.kernel.settings, enc_hook=str),
                bundle=context.bundle,
                engine=socket.gethostname(),
            )
        )
        self._remote = self._ray.remote(make_attempt_here)
        self._workers = context.workers
        self._nodes = _Nodes(self._ray)
        self._running: dict[Any, Task] = {}
        self._refused: list[Outcome] = []

    def capacity(self) -> int:
        """Return how many more tasks are given to Ray."""
        if self._workers:
            return self._workers - len(self._running) - len(self._refused)
        slots = sum(node.get("CPU", 0.0) for node in self._nodes.now()) + _AHEAD
        return int(slots - sum(max(task.cpus, _LEAST_CPUS) for task in self._running.values()))

    def start(self, task: Task) -> None:
        """Give the task to Ray; one that no node can hold fails at once, where Ray would wait for ever."""
        wanted = _resources(task)
        if not any(_has_room(node, wanted) for node in self._nodes.now()):
            self._refused.append(_failed(task, _why_no_node(self._nodes.now(), wanted)))
            return
        remote = self._remote.options(
            num_cpus=task.cpus,
            num_gpus=task.gpus,
            memory=task.memory_bytes,
            max_retries=0,
            name=f"{task.node} of {task.run}",
        )
        self._running[remote.remote(self._host, msgspec.json.encode(task))] = task

    def wait(self, timeout_s: float) -> list[Outcome]:
        """Return the outcomes of attempts that ended."""
        if self._refused:
            refused, self._refused = self._refused, []
            return refused
        if not self._running:
            return []
        ended, _ = self._ray.wait(list(self._running), num_returns=1, timeout=timeout_s)
        return [self._settle(reference) for reference in ended]

    def close(self) -> None:
        """End the attempts that run, each with all it started; the connection stays for the next run of this process."""
        running = list(self._running)
        self._running.clear()
        if not running:
            return
        with contextlib.suppress(self._ray.exceptions.RayError):  # of a cluster that is gone
            for reference in running:
                self._ray.cancel(reference)
            _, slow = self._ray.wait(running, num_returns=len(running), timeout=_END_S)
            for reference in slow:
                self._ray.cancel(reference, force=True)

    def _settle(self, reference: Any) -> Outcome:  # noqa: ANN401 - of a library without types
        task = self._running.pop(reference)
        errors = self._ray.exceptions
        try:
            return msgspec.json.decode(self._ray.get(reference), type=Outcome)
        except errors.RayTaskError as error:  # of the host, not of the step
            cause = error.cause
            return _failed(task, f"the node could not make the attempt: {type(cause).__name__}: {cause}")
        except errors.RayError as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            return Outcome(node=task.node, attempt=task.attempt, status="lost", error=reason)


class _Nodes:
    """What the nodes of a cluster have; asked for at most once a second."""

    def __init__(self, ray: Any) -> None:  # noqa: ANN401 - the module of a library without types
        self._ray = ray
        self._known: list[dict[str, float]] = []
        self._asked: float | None = None

    def now(self) -> list[dict[str, float]]:
        """Return the resources of each node that is alive, by name."""
        if self._asked is None or time.monotonic() - self._asked > _NODES_S:
            self._known = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
            self._asked = time.monotonic()
        return self._known


class _Connection:
    """The one cluster that this process speaks with."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.address: str | None = None


_connection = _Connection()


def connect(address: str) -> Any:  # noqa: ANN401 - the module of a library without types
    """Return the library, connected: to the cluster at an address, else to one of this machine that is started here.

    A program that has called `ray.init` itself keeps its cluster.

    Args:
        address: `host:6379` or `auto`; empty for a cluster of this process alone, which ends with it.

    Raises:
        RayMissingError: it is not installed.
        RayUnreachableError: nothing answers at the address, or this process speaks with another cluster already.
    """
    # Ray reports its use to its makers unless it is told not to.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # A step sees the accelerators that it asks for, and no others: of a cluster that starts here.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")
    try:
        import ray
    except ImportError as error:
        raise RayMissingError(
            "the Ray executor needs Ray. Install it: pip install 'everloop[ray]'."
        ) from error
    with _connection.lock:
        if ray.is_initialized():
            if _connection.address not in {None, address}:
                raise RayUnreachableError(
                    f"this process speaks with the Ray {_place(_connection.address or '')} already, and one process has one"
                    " cluster. Use another process.",
                    subject=address,
                )
            return ray
        _begin(ray, address)
        _connection.address = address
    return ray


def disconnect() -> None:
    """Leave the cluster, if this process speaks with one; the next executor may connect to another. For tests and long programs."""
    ray = sys.modules.get("ray")
    with _connection.lock:
        if ray is not None and _connection.address is not None:
            ray.shutdown()
        _connection.address = None


def _begin(ray: Any, address: str) -> None:  # noqa: ANN401 - the module of a library without types
    options: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
    if not address:
        options |= {"include_dashboard": False, "object_store_memory": _STORE_BYTES}
    try:
        with _signals_kept():
            ray.init(address or "local", **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise RayUnreachableError(
            f"there is no Ray {_place(address)}, or it does not let this process in: {str(error).rstrip('.')}. Start one (`ray start --head`), mend the"
            " setting executor_address, or give the cluster's token: RAY_AUTH_MODE=token and RAY_AUTH_TOKEN.",
            subject=address,
        ) from error


def _place(address: str) -> str:
    return f"at {address}" if address else "of this machine"


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Put back a handler of SIGTERM that the program has set: Ray sets one of its own."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if callable(before) and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)


def make_attempt_here(host: bytes, task: bytes) -> bytes:
    """Make one attempt on this node; runs inside Ray. Returns the outcome as JSON."""
    from everloop.pipelines.executors.process import ProcessExecutor

    setup, wanted = msgspec.json.decode(host, type=Host), msgspec.json.decode(task, type=Task)
    context = _context(msgspec.json.encode(setup.settings), setup.bundle)
    executor = ProcessExecutor(context)
    try:
        executor.start(wanted)
        while not (outcomes := executor.wait(_LOOK_S)):
            pass
    finally:
        executor.close()
    if socket.gethostname() != setup.engine:
        # The engine removes the logs of its own home; the outcome has this one.
        remove([spool_folder(context.kernel.home, wanted.run, wanted.node, wanted.attempt)])
    worker = f"{_node()}/{outcomes[0].worker.rpartition('/')[2]}"
    return msgspec.json.encode(msgspec.structs.replace(outcomes[0], worker=worker))


@functools.cache
def _context(settings: bytes, bundle: Digest) -> ExecutorContext:
    """Open the home once for each process of Ray, and lay out the code once."""
    from everloop.pipelines import bundles
    from everloop.pipelines.store import open_store

    kernel = _kernel(settings)
    root = bundles.extract(bundles.read(kernel.objects, bundle), bundle, kernel.home / "bundles")
    return ExecutorContext(kernel, open_store(kernel), {}, bundle, root, 1)


@functools.cache
def _kernel(settings: bytes) -> Kernel:
    from everloop.kernel.runtime import open_kernel
    from everloop.kernel.settings import load_settings

    given: dict[str, Any] = msgspec.json.decode(settings)
    given["home"] = Path(str(given["home"]))
    return open_kernel(load_settings({}, **given))


def _node() -> str:
    import ray

    return f"{socket.gethostname()}/ray-{ray.get_runtime_context().get_node_id()[:8]}"


def _resources(task: Task) -> dict[str, float]:
    wanted = {"CPU": task.cpus, "GPU": task.gpus, "memory": float(task.memory_bytes or 0)}
    return {name: amount for name, amount in wanted.items() if amount}


def _has_room(node: dict[str, float], wanted: dict[str, float]) -> bool:
    return all(node.get(name, 0) >= amount for name, amount in wanted.items())


def _why_no_node(nodes: list[dict[str, float]], wanted: dict[str, float]) -> str:
    there = "; ".join(_say(node, wanted) for node in nodes) or "no node"
    return (
        f"{NoSuchNodeError.__name__}: the step needs {_say(wanted, wanted)} on one node; the cluster has {there}. Add a node, or"
        " ask for less (`cpus=`, `gpus=`, `memory=`)."
    )


def _say(resources: dict[str, float], wanted: dict[str, float]) -> str:
    units = {"CPU": (1, "CPUs"), "GPU": (1, "GPUs"), "memory": (1 << 20, "MiB of memory")}
    return ", ".join(
        f"{resources.get(name, 0) / size:,.4g} {unit}"
        for name, (size, unit) in units.items()
        if name in wanted
    )


def _failed(task: Task, error: str) -> Outcome:
    return Outcome(node=task.node, attempt=task.attempt, status="failed", error=error)
