"""A worker process of the process executor: reads tasks from standard input, answers on what was standard output.

Tests: tests/contract/test_executors.py.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from everloop.pipelines.attempts import make_attempt
from everloop.pipelines.executors.process import WorkerSetup, receive, send
from everloop.pipelines.executors.protocol import Outcome, Task

if TYPE_CHECKING:
    from everloop.pipelines.codecs.protocol import Store
    from everloop.tracking import Tracking


def main() -> None:
    """Serve tasks until the engine goes away."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a step prints must not mix with the answers
    frames: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, frames), daemon=True).start()
    setup = msgspec.json.decode(frames.get(), type=WorkerSetup)
    sys.path[:] = [setup.root, *setup.path]
    store, tracking = _open(setup)
    while True:
        send(answers, _serve(msgspec.json.decode(frames.get(), type=Task), store, tracking))


def _listen(stream: BinaryIO, frames: queue.SimpleQueue[bytes]) -> None:
    """Pass frames on; end the process with the engine, even in the middle of a step."""
    while (body := receive(stream)) is not None:
        frames.put(body)
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


def _serve(task: Task, store: Store, tracking: Tracking) -> Outcome:
    from everloop.pipelines.bundles import find
    from everloop.pipelines.steps import Step

    try:
        found = find(task.step)
        function = found.function if isinstance(found, Step) else found
    except Exception as error:  # noqa: BLE001 - importing user code may raise anything; the engine must hear of it
        return Outcome(
            node=task.node, attempt=task.attempt, status="failed", error=f"{type(error).__name__}: {error}"
        )
    run = tracking.attach(task.run)
    run.activate()
    try:
        return make_attempt(function, task, store)
    finally:
        run.deactivate()
        run.flush()


if __name__ == "__main__":
    main()
