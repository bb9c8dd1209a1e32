"""Run steps in worker processes of our own, kept warm between steps and runs of the same code.

A worker is `python -m everloop.pipelines.executors.worker`: it opens the home by its settings, imports the bundle, and
speaks length-prefixed JSON on its standard streams. A worker belongs to one bundle, so that two versions of a module
never meet in one interpreter. It ends when the engine does. Tests: tests/contract/test_executors.py.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import queue
import signal
import struct
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from everloop.core.errors import UnavailableError
from everloop.pipelines.bundles import NotImportableError
from everloop.pipelines.executors.protocol import Outcome, Task

if TYPE_CHECKING:
    from everloop.pipelines.executors.protocol import ExecutorContext

_LENGTH = struct.Struct("<I")
_END_S = 5.0


class WorkerStartError(UnavailableError):
    """A worker process did not come up."""

    code = "pipelines.worker-start"


class WorkerSetup(msgspec.Struct, frozen=True, kw_only=True):
    """The first frame a worker gets: how to open the home and where the code is."""

    settings: dict[str, object]
    root: str
    path: list[str]


def send(stream: BinaryIO, message: msgspec.Struct) -> None:
    """Write one frame."""
    body = msgspec.json.encode(message)
    stream.write(_LENGTH.pack(len(body)) + body)
    stream.flush()


def receive(stream: BinaryIO) -> bytes | None:
    """Read one frame; None at the end of the stream."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    body = stream.read(length)
    return body if len(body) == length else None


class _Worker:
    """One worker process and the thread that reads its answers."""

    def __init__(self, setup: WorkerSetup) -> None:
        command = [sys.executable, "-m", "everloop.pipelines.executors.worker"]
        self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
        self.task: Task | None = None
        self.deadline: float | None = None
        self.answers: queue.SimpleQueue[tuple[_Worker, Outcome | None]] | None = None
        self._send(setup)
        threading.Thread(target=self._read, daemon=True, name=f"everloop-worker-{self.process.pid}").start()

    def give(self, task: Task, answers: queue.SimpleQueue[tuple[_Worker, Outcome | None]]) -> None:
        self.task, self.answers = task, answers
        self.deadline = time.monotonic() + task.timeout_s if task.timeout_s is not None else None
        self._send(task)

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def end(self) -> None:
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None and stream is self.process.stdin:
                with contextlib.suppress(OSError):
                    stream.close()
        self.process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_END_S)

    def _send(self, message: msgspec.Struct) -> None:
        if self.process.stdin is None:
            raise WorkerStartError("the worker process has no input.")
        with contextlib.suppress(BrokenPipeError):  # the reading thread tells that it is gone
            send(self.process.stdin, message)  # type: ignore[arg-type] # a buffered writer of bytes

    def _read(self) -> None:
        stream = self.process.stdout
        while stream is not None and (body := receive(stream)) is not None:  # type: ignore[arg-type] # a buffered reader
            self._answer(msgspec.json.decode(body, type=Outcome))
        self._answer(None)
        if stream is not None:
            stream.close()

    def _answer(self, outcome: Outcome | None) -> None:
        if self.answers is not None:
            self.answers.put((self, outcome))


class _Pool:
    """Warm workers of this process that wait for work, by bundle."""

    def __init__(self) -> None:
        self._idle: dict[str, list[_Worker]] = {}
        self._lock = threading.Lock()
        self._process = os.getpid()

    def take(self, key: str, setup: WorkerSetup) -> _Worker:
        with self._lock:
            while workers := self._idle.get(key):
                worker = workers.pop()
                if worker.is_alive:
                    return worker
        return _Worker(setup)

    def give_back(self, key: str, worker: _Worker) -> None:
        worker.task, worker.answers = None, None
        with self._lock:
            self._idle.setdefault(key, []).append(worker)

    def close(self) -> None:
        with self._lock:
            workers = [worker for group in self._idle.values() for worker in group]
            self._idle.clear()
        if os.getpid() == self._process:
            for worker in workers:
                worker.end()


_pool = _Pool()
atexit.register(_pool.close)


def close_idle_workers() -> None:
    """End the warm workers of this process; they are started again when needed."""
    _pool.close()


class ProcessExecutor:
    """Runs each task in a warm worker process of its own; a task past its time-out is ended with its worker."""

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
        self._key = f"{context.bundle} {msgspec.json.encode(settings).decode()}"
        self._limit = context.workers
        self._busy: set[_Worker] = set()
        self._answers: queue.SimpleQueue[tuple[_Worker, Outcome | None]] = queue.SimpleQueue()

    def capacity(self) -> int:
        """Return how many workers are free."""
        return self._limit - len(self._busy)

    def start(self, task: Task) -> None:
        """Give the task to a warm worker, or to a new one."""
        worker = _pool.take(self._key, self._setup)
        self._busy.add(worker)
        worker.give(task, self._answers)

    def wait(self, timeout_s: float) -> list[Outcome]:
        """Return what ended; end workers whose task is past its time."""
        until = time.monotonic() + timeout_s
        while True:
            late = self._end_late()
            if late or not self._busy:
                return late
            deadlines = [worker.deadline for worker in self._busy if worker.deadline is not None]
            pause = min([until, *deadlines]) - time.monotonic()
            try:
                worker, outcome = self._answers.get(timeout=max(pause, 0.001))
            except queue.Empty:
                if time.monotonic() >= until:
                    return []
                continue
            if worker in self._busy:
                return [self._settle(worker, outcome)]

    def close(self) -> None:
        """End every worker that is busy; idle ones stay warm for the next run of this process."""
        for worker in self._busy:
            worker.end()
        self._busy.clear()

    def _settle(self, worker: _Worker, outcome: Outcome | None) -> Outcome:
        task = worker.task
        self._busy.discard(worker)
        if task is None:
            raise WorkerStartError("a worker answered without a task. Please report this.")
        if outcome is None:
            worker.end()
            code = worker.process.returncode
            reason = f"its worker process ended with {code}" + (
                " (killed; perhaps out of memory)" if code == -signal.SIGKILL else ""
            )
            return Outcome(
                node=task.node,
                attempt=task.attempt,
                status="lost",
                error=reason,
                worker=str(worker.process.pid),
            )
        _pool.give_back(self._key, worker)
        return outcome

    def _end_late(self) -> list[Outcome]:
        now = time.monotonic()
        late = [worker for worker in self._busy if worker.deadline is not None and worker.deadline < now]
        outcomes = []
        for worker in late:
            self._busy.discard(worker)
            worker.end()
            if worker.task is not None:
                reason = f"took longer than {worker.task.timeout_s:g} s; its process was ended"
                outcomes.append(
                    Outcome(
                        node=worker.task.node, attempt=worker.task.attempt, status="timed_out", error=reason
                    )
                )
        return outcomes
