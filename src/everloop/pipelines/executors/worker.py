"""A worker process of the process executor: reads tasks from standard input, answers on what was standard output.

Everything that is printed, by Python, by C code or by a child, goes to standard error, which the engine reads. Tests:
tests/contract/test_executors.py.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import os
import queue
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from everloop.pipelines.attempts import logged_to, run_attempt
from everloop.pipelines.executors import processes
from everloop.pipelines.executors.process import BEGUN, WorkerSetup, receive, send, send_bytes
from everloop.pipelines.executors.protocol import Outcome, Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from everloop.pipelines.codecs.protocol import Store
    from everloop.tracking import Tracking

# From linux/prctl.h. Children of children whose parent ended become this process's, so that they can be found and ended.
_PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    """Serve tasks until the engine goes away."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a step prints must not mix with the answers
    # PYTHONUNBUFFERED is for the step's children; here one write for each line is enough.
    sys.stdout = sys.stderr = open(2, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115 - open as long as the process
    faulthandler.enable(2)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    frames: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, frames), daemon=True).start()
    setup = msgspec.json.decode(frames.get(), type=WorkerSetup)
    sys.path[:] = [setup.root, *setup.path]
    store, tracking = _open(setup)
    while True:
        task = msgspec.json.decode(frames.get(), type=Task)
        outcome = _serve(task, store, tracking, begin=lambda: send_bytes(answers, BEGUN))
        sys.stdout.flush()
        send(answers, outcome)


def _listen(stream: BinaryIO, frames: queue.SimpleQueue[bytes]) -> None:
    """Pass frames on; end the process and what the step started with the engine, even in the middle of a step."""
    while (body := receive(stream)) is not None:
        frames.put(body)
    processes.end(os.getpid(), os.environ.get(processes.MARK, ""), spare=os.getpid())
    os._exit(0)


def _open(setup: WorkerSetup) -> tuple[Store, Tracking]:
    from everloop.kernel.runtime import open_kernel
    from everloop.kernel.settings import load_settings
    from everloop.pipelines.store import open_store
    from everloop.tracking import Tracking

    given: dict[str, Any] = dict(setup.settings)
    given["home"] = Path(str(given["home"]))
    kernel = open_kernel(load_settings({}, **given))
    return open_store(kernel), Tracking(kernel)


def _serve(task: Task, store: Store, tracking: Tracking, *, begin: Callable[[], None]) -> Outcome:
    from everloop.pipelines.bundles import find
    from everloop.pipelines.steps import Step

    with logged_to(sys.stderr.write):
        try:
            found = find(task.step)
            function = found.function if isinstance(found, Step) else found
        except Exception as error:  # noqa: BLE001 - importing user code may raise anything; the engine must hear of it
            return Outcome(
                node=task.node,
                attempt=task.attempt,
                status="failed",
                error=f"{type(error).__name__}: {error}",
            )
        run = tracking.attach(task.run)
        run.activate()
        begin()
        try:
            return run_attempt(function, task, store)
        finally:
            run.deactivate()
            run.flush()


if __name__ == "__main__":
    main()
