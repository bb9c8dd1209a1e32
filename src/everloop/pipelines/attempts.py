"""One attempt of a step where it runs: read the arguments, call the function, store the result, tell how it ended.

Used by every executor, in the engine's process or in a worker. Tests: tests/contract/test_executors.py.
"""

from __future__ import annotations

import io
import logging
import sys
import threading
import time
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from everloop.core.errors import InvalidInputError
from everloop.pipelines import artifacts
from everloop.pipelines.executors.protocol import Outcome
from everloop.pipelines.leases import this_owner
from everloop.pipelines.records import LIST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from everloop.pipelines.codecs.protocol import Store
    from everloop.pipelines.executors.protocol import Binding, Task
    from everloop.pipelines.records import Artifact

# Kept of each attempt: its last lines, where the reason usually is.
_LOG_CHARACTERS = 64_000


class OutputCountError(InvalidInputError):
    """A step returned another number of values than its annotation says."""

    code = "pipelines.output-count"


def make_attempt(function: Callable[..., Any], task: Task, store: Store) -> Outcome:
    """Run one attempt to its end; every failure of the step becomes an outcome."""
    began = time.monotonic()
    with captured_log() as log:
        try:
            arguments = {name: read_binding(binding, store) for name, binding in task.arguments.items()}
            outputs = write_outputs(function(**arguments), task, store)
        except Exception:  # noqa: BLE001 - a step may raise anything; the attempt's record has all of it
            return _outcome(task, "failed", error=_traceback(), log=log())
        if task.timeout_s is not None and time.monotonic() - began > task.timeout_s:
            return _outcome(task, "timed_out", error=f"took longer than {task.timeout_s:g} s", log=log())
        return _outcome(task, "done", outputs=outputs, log=log())


def read_binding(binding: Binding, store: Store) -> object:
    """Return the value of an argument."""
    if binding.artifact is not None:
        return artifacts.load(binding.artifact, store)
    items = [read_binding(item, store) for item in binding.items]
    if binding.kind == "dict":
        return dict(zip(binding.keys, items, strict=True))
    return items if binding.kind == "list" else tuple(items)


def write_outputs(value: object, task: Task, store: Store) -> list[Artifact]:
    """Store what a step returned, each item of a declared tuple on its own."""
    if task.outputs is None:
        return [artifacts.dump(value, store, where=f"the result of {task.node}")]
    if task.outputs == LIST:
        if not isinstance(value, list):
            raise OutputCountError(
                f"{task.node} returned a {type(value).__name__}, but its annotation says a list, and another step maps over it."
            )
        return [
            artifacts.dump(item, store, where=f"item {index} of {task.node}")
            for index, item in enumerate(value)
        ]
    if not isinstance(value, tuple) or len(value) != task.outputs:
        count = len(value) if isinstance(value, tuple) else "no tuple of"
        raise OutputCountError(
            f"{task.node} returned {count} values, but its annotation says {task.outputs}."
        )
    return [
        artifacts.dump(item, store, where=f"result {index} of {task.node}")
        for index, item in enumerate(value)
    ]


def _outcome(task: Task, status: Any, **fields: Any) -> Outcome:  # noqa: ANN401 - fields of Outcome
    return Outcome(node=task.node, attempt=task.attempt, status=status, worker=this_owner(), **fields)


def _traceback() -> str:
    """Return the traceback of the present error from the step's own frame on."""
    kind, error, trace = sys.exc_info()
    own = trace
    while own is not None and own.tb_frame.f_code.co_filename == __file__ and own.tb_next is not None:
        own = own.tb_next
    return "".join(traceback.format_exception(kind, error, own))


class _Tee(io.TextIOBase):
    """Writes to the stream it replaces, and keeps what the attempt's own thread wrote."""

    def __init__(self, stream: Any, kept: io.StringIO) -> None:  # noqa: ANN401 - any text stream
        self._stream = stream
        self._kept = kept
        self._thread = threading.get_ident()

    def write(self, text: str, /) -> int:
        """Write to both."""
        if threading.get_ident() == self._thread:
            self._kept.write(text)
        self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()


@contextmanager
def captured_log() -> Iterator[Callable[[], str]]:
    """Keep what is printed and logged in the block; give a function that returns it so far."""
    kept = io.StringIO()
    handler = logging.StreamHandler(kept)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    streams = sys.stdout, sys.stderr
    root.addHandler(handler)
    sys.stdout, sys.stderr = _Tee(streams[0], kept), _Tee(streams[1], kept)
    try:
        yield lambda: kept.getvalue()[-_LOG_CHARACTERS:]
    finally:
        sys.stdout, sys.stderr = streams
        root.removeHandler(handler)
