"""Run steps in worker processes of our own, kept warm between steps and runs of the same code.

A worker is `python -m everloop.pipelines.executors.worker`: it opens the home by its settings, imports the bundle, and
speaks length-prefixed JSON on its standard streams; what a step and its children print comes through a third one. A worker
belongs to one bundle and one environment, so that two versions of a module never meet in one interpreter. It ends when the
engine does.

The memory limit is watched, not set: RLIMIT_AS counts address space, which NumPy, DuckDB and every memory-mapped array
reserve without using it, RLIMIT_DATA counts each process alone and lets a step pass by forking, and a control group needs
rights that a user seldom has. The price: between two looks, 50 ms apart, an attempt may pass its limit.

Tests: tests/contract/test_executors.py, tests/integration/test_bad_steps.py.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import queue
import selectors
import signal
import struct
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from everloop.core.errors import UnavailableError
from everloop.core.ids import new_id
from everloop.pipelines.attempts import with_log
from everloop.pipelines.bundles import NotImportableError
from everloop.pipelines.executors import processes
from everloop.pipelines.executors.protocol import Outcome, Task
from everloop.pipelines.spools import open_spool

if TYPE_CHECKING:
    from typing import Literal

    from everloop.pipelines.executors.protocol import ExecutorContext
    from everloop.pipelines.spools import Spool

_LENGTH = struct.Struct("<I")
_END_S = 5.0
# An empty frame of a worker: its code is loaded, the step begins. The step's own time-out runs from then on.
BEGUN = b""
# Until then so much time is added: a worker starts and imports, on a busy machine and with large libraries.
_START_S = 120.0
# How often memory is looked at: of an attempt with a limit, and of others, for the record.
_LOOK_S = 0.05
_GLANCE_S = 0.5
_CHUNK = 1 << 16
# A warm worker that holds more than this share of an attempt's limit is replaced: what earlier steps left is not the attempt's.
_WARM_SHARE = 4


class WorkerStartError(UnavailableError):
    """A worker process did not come up."""

    code = "pipelines.worker-start"


class MemoryLimitError(UnavailableError):
    """An attempt used more memory than its step declares; it is told in the attempt, never raised."""

    code = "pipelines.memory-limit"


class WorkerSetup(msgspec.Struct, frozen=True, kw_only=True):
    """The first frame a worker gets: how to open the home and where the code is."""

    settings: dict[str, object]
    root: str
    path: list[str]


def send(stream: BinaryIO, message: msgspec.Struct) -> None:
    """Write one frame."""
    send_bytes(stream, msgspec.json.encode(message))


def send_bytes(stream: BinaryIO, body: bytes) -> None:
    """Write one frame of bytes."""
    stream.write(_LENGTH.pack(len(body)) + body)
    stream.flush()


def receive(stream: BinaryIO) -> bytes | None:
    """Read one frame; None at the end of the stream."""
    head = _read(stream, _LENGTH.size)
    if head is None:
        return None
    (length,) = _LENGTH.unpack(head)
    return _read(stream, length)


def _read(stream: BinaryIO, length: int) -> bytes | None:
    pieces = bytearray()
    while len(pieces) < length:
        piece = stream.read(length - len(pieces))
        if not piece:
            return None
        pieces += piece
    return bytes(pieces)


class _Worker:
    """One worker process, and the thread that takes its answers and its log and holds it to its limits."""

    def __init__(self, setup: WorkerSetup) -> None:
        self.mark = new_id()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "everloop.pipelines.executors.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1", processes.MARK: self.mark},
        )
        self._task: Task | None = None
        self.spool: Spool | None = None
        self._answers: queue.SimpleQueue[tuple[_Worker, Outcome]] | None = None
        self._deadline: float | None = None
        self._peak = 0
        self._has_answered = False
        self._verdict: tuple[Literal["failed", "timed_out"], str] | None = None
        self._lock = threading.Lock()
        self._has_left = False
        self._waker, self._wake = os.pipe()
        self._send(setup)
        name = f"everloop-worker-{self.process.pid}"
        threading.Thread(target=self._watch, daemon=True, name=name).start()

    def give(self, task: Task, spool: Spool, answers: queue.SimpleQueue[tuple[_Worker, Outcome]]) -> None:
        """Let the worker make an attempt; its one outcome comes through `answers`."""
        with self._lock:
            self.spool, self._answers, self._peak = spool, answers, 0
            limit = task.timeout_s
            self._deadline = None if limit is None else time.monotonic() + limit + _START_S
            self._task = task
            if self._has_left:  # it died between the pool's look and now
                self._answer(self._last_outcome(task))
                return
            os.write(self._wake, b"!")
        self._send(task)

    def rest(self) -> None:
        """Forget the attempt that was made."""
        self.spool = self._answers = None

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def end(self) -> int:
        """Kill the worker and everything its attempt started; return how many processes that were."""
        count = processes.end(self.process.pid, self.mark)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_END_S)
        return count

    def end_leftovers(self) -> int:
        """End the worker when the attempt left processes behind; return how many. An attempt's processes end with it."""
        if not processes.has_children(self.process.pid):
            return 0
        left = len(processes.members(self.process.pid, self.mark)) - 1
        if left > 0:
            self.end()
        return max(left, 0)

    def _send(self, message: msgspec.Struct) -> None:
        if self.process.stdin is None:
            raise WorkerStartError("the worker process has no input.")
        with contextlib.suppress(
            BrokenPipeError, ValueError
        ):  # broken or closed: the watching thread tells that it is gone
            send(self.process.stdin, message)  # type: ignore[arg-type] # a raw stream of bytes

    # -- the watching thread ---------------------------------------------------------------------------------------

    def _watch(self) -> None:
        answers, log = self.process.stdout, self.process.stderr
        if answers is None or log is None:
            raise AssertionError("both are pipes")
        os.set_blocking(log.fileno(), False)
        with selectors.DefaultSelector() as ready:
            for pipe in (answers.fileno(), log.fileno(), self._waker):
                ready.register(pipe, selectors.EVENT_READ)
            while self._verdict is None:
                found = {key.fd for key, _ in ready.select(self._pause_s())}
                if self._waker in found:
                    os.read(self._waker, _CHUNK)
                if log.fileno() in found and self._drain(log.fileno()):
                    ready.unregister(log.fileno())
                if answers.fileno() in found:
                    if not self._take(receive(answers), log.fileno()):  # type: ignore[arg-type] # a raw stream of bytes
                        break
                elif not self.is_alive:  # a child may hold the pipes open
                    break
                self._enforce()
        self._take_leave(log.fileno())
        self._close_pipes()

    def _close_pipes(self) -> None:
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        os.close(self._waker)
        os.close(self._wake)

    def _take(self, body: bytes | None, log: int) -> bool:
        """Take one frame of the worker; False at the end of its stream."""
        if body is None:
            return False
        if body == BEGUN:
            self._begin()
        else:
            self._drain(log)  # what it printed before it answered is in the pipe by now
            self._answer(msgspec.json.decode(body, type=Outcome))
        return True

    def _begin(self) -> None:
        if self._task is not None and self._task.timeout_s is not None:
            self._deadline = time.monotonic() + self._task.timeout_s

    def _pause_s(self) -> float | None:
        task = self._task
        if task is None:
            return None
        pause = _GLANCE_S if task.memory_bytes is None else _LOOK_S
        return pause if self._deadline is None else max(min(pause, self._deadline - time.monotonic()), 0.001)

    def _drain(self, log: int) -> bool:
        """Take what is in the log's pipe; say whether it has ended."""
        for _ in range(64):
            try:
                content = os.read(log, _CHUNK)
            except BlockingIOError:
                return False
            if not content:
                return True
            if self.spool is not None:
                self.spool.write(content)
        return False

    def _enforce(self) -> None:
        """End an attempt that takes too long or too much."""
        task = self._task
        if task is None:
            return
        used = processes.memory_bytes(self.process.pid, self.mark)
        self._peak = max(self._peak, used)
        if task.memory_bytes is not None and used > task.memory_bytes:
            self._verdict = (
                "failed",
                (
                    f"{MemoryLimitError.__name__}: used {_mib(used)}, more than its limit of {_mib(task.memory_bytes)}; its processes"
                    " were ended. Raise `memory=` of the step, or let it read its data in parts."
                ),
            )
        elif self._deadline is not None and time.monotonic() > self._deadline:
            self._verdict = "timed_out", f"took longer than {task.timeout_s:g} s; its processes were ended"

    def _take_leave(self, log: int) -> None:
        """Collect a worker that ended, or must end; tell the outcome of its attempt."""
        self.end()
        self._drain(log)
        with self._lock:
            self._has_left = True
            if self._task is not None:
                self._answer(self._last_outcome(self._task))

    def _last_outcome(self, task: Task) -> Outcome:
        status, error = self._verdict or ("lost", self._why_lost())
        worker = str(self.process.pid)
        return Outcome(node=task.node, attempt=task.attempt, status=status, error=error, worker=worker)

    def _why_lost(self) -> str:
        code = self.process.returncode
        if code is None:
            return "its worker process does not answer"
        if code >= 0:
            start = (
                "" if self._has_answered else ", perhaps before it could start the step; its log says more"
            )
            return f"its worker process ended with exit code {code}{start}"
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        reason = "; perhaps the machine was out of memory" if code == -signal.SIGKILL else ""
        return f"its worker process was ended by signal {name}{reason}"

    def _answer(self, outcome: Outcome) -> None:
        self._has_answered = True
        self._task = None
        if self._answers is not None:
            told = msgspec.structs.replace(outcome, peak_bytes=self._peak)
            self._answers.put((self, told))


class _Pool:
    """Warm workers of this process that wait for work, by bundle."""

    def __init__(self) -> None:
        self._idle: dict[str, list[_Worker]] = {}
        self._lock = threading.Lock()
        self._process = os.getpid()

    def take(self, key: str, setup: WorkerSetup, memory_bytes: int | None) -> _Worker:
        with self._lock:
            while workers := self._idle.get(key):
                worker = workers.pop()
                if worker.is_alive and _is_light(worker, memory_bytes):
                    return worker
                worker.end()
        return _Worker(setup)

    def give_back(self, key: str, worker: _Worker) -> None:
        worker.rest()
        with self._lock:
            self._idle.setdefault(key, []).append(worker)

    def close(self) -> None:
        with self._lock:
            workers = [worker for group in self._idle.values() for worker in group]
            self._idle.clear()
        if os.getpid() == self._process:
            for worker in workers:
                worker.end()


def _is_light(worker: _Worker, memory_bytes: int | None) -> bool:
    if memory_bytes is None:
        return True
    return processes.own_memory_bytes(worker.process.pid) * _WARM_SHARE <= memory_bytes


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"


_pool = _Pool()
atexit.register(_pool.close)


def close_idle_workers() -> None:
    """End the warm workers of this process; they are started again when needed."""
    _pool.close()


class ProcessExecutor:
    """Runs each task in a warm worker process of its own; a task past a limit is ended with all its processes."""

    def __init__(self, context: ExecutorContext) -> None:
        if context.bundle is None or context.bundle_root is None:
            raise NotImportableError(
                "the process executor needs a pipeline that another process can import. Move it and its steps to the top"
                " level of a module, or use the inline executor."
            )
        settings = msgspec.to_builtins(context.kernel.settings, enc_hook=str)
        self._setup = WorkerSetup(
            settings=settings, root=str(context.bundle_root), path=[path for path in sys.path if path]
        )
        # Which accelerators a worker sees is fixed when it starts.
        devices = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        self._key = f"{context.bundle} {devices} {msgspec.json.encode(settings).decode()}"
        self._limit = context.workers or 1
        self._store = context.store
        self._home = context.kernel.home
        self._busy: set[_Worker] = set()
        self._answers: queue.SimpleQueue[tuple[_Worker, Outcome]] = queue.SimpleQueue()

    def capacity(self) -> int:
        """Return how many workers are free."""
        return self._limit - len(self._busy)

    def start(self, task: Task) -> None:
        """Give the task to a warm worker, or to a new one."""
        worker = _pool.take(self._key, self._setup, task.memory_bytes)
        self._busy.add(worker)
        worker.give(task, open_spool(self._home, task.run, task.node, task.attempt), self._answers)

    def wait(self, timeout_s: float) -> list[Outcome]:
        """Return the outcome of the next attempt that ends."""
        if not self._busy:
            return []
        try:
            worker, outcome = self._answers.get(timeout=timeout_s)
        except queue.Empty:
            return []
        return [self._settle(worker, outcome)]

    def close(self) -> None:
        """End every worker that is busy, with all it started; idle ones stay warm for the next run of this process."""
        for worker in self._busy:
            worker.end()
        self._busy.clear()

    def _settle(self, worker: _Worker, outcome: Outcome) -> Outcome:
        self._busy.discard(worker)
        spool = worker.spool
        if spool is None:
            raise WorkerStartError("a worker answered without a task. Please report this.")
        left = worker.end_leftovers() if worker.is_alive else 0
        if left:
            spool.write(f"[{left} processes that the step left behind were ended]\n".encode())
        told = with_log(outcome, spool, self._store)
        if worker.is_alive:
            _pool.give_back(self._key, worker)
        return told
