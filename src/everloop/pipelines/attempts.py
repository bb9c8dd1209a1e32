"""One attempt of a step where it runs: read the arguments, call the function, store the result, tell how it ended.

Used by every executor, in the engine's process or in a worker. Tests: tests/contract/test_executors.py,
tests/integration/test_bad_steps.py.
"""

from __future__ import annotations

import errno
import io
import logging
import sys
import threading
import time
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from everloop.core.errors import EverloopError, InvalidInputError
from everloop.kernel.objects.files.protocol import DiskFullError
from everloop.pipelines import artifacts, spools
from everloop.pipelines.executors.protocol import Outcome
from everloop.pipelines.leases import this_owner
from everloop.pipelines.records import LIST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from everloop.core.digests import Digest
    from everloop.pipelines.codecs.protocol import Store
    from everloop.pipelines.executors.protocol import Binding, Task
    from everloop.pipelines.records import Artifact
    from everloop.pipelines.spools import Spool

# EFBIG: a quota or a limit on the size of files; to the user it is a disk that takes no more.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class OutputCountError(InvalidInputError):
    """A step returned another number of values than its annotation says."""

    code = "pipelines.output-count"


class AttemptDiskFullError(EverloopError):
    """A step could not write, because a disk is full."""

    code = "pipelines.disk-full"
    status = 507


def make_attempt(function: Callable[..., Any], task: Task, store: Store, *, spool: Spool) -> Outcome:
    """Run one attempt to its end in this process and keep what it prints."""
    with captured_log(spool):
        outcome = run_attempt(function, task, store)
    return with_log(outcome, spool, store)


def run_attempt(function: Callable[..., Any], task: Task, store: Store) -> Outcome:
    """Run one attempt to its end; every failure of the step becomes an outcome."""
    began = time.monotonic()
    try:
        arguments = {name: read_binding(binding, store) for name, binding in task.arguments.items()}
        outputs = write_outputs(function(**arguments), task, store)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a step may raise anything; the attempt's record has all of it
        return _outcome(task, "failed", error=_traceback() + _way_out(error))
    if task.timeout_s is not None and time.monotonic() - began > task.timeout_s:
        return _outcome(task, "timed_out", error=f"took longer than {task.timeout_s:g} s")
    return _outcome(task, "done", outputs=outputs)


def with_log(outcome: Outcome, spool: Spool, store: Store) -> Outcome:
    """Close the log of an attempt and return its outcome with it: the end as text, a long one as an object besides."""
    spool.close()
    if not spool.position:
        return outcome
    texts = spools.read_spool(spool.folder)
    text = spools.tail(texts).decode(errors="replace")
    whole: Digest | None = None
    if spool.position > spools.TAIL_BYTES:
        try:
            whole = store.put(spools.pack(texts))
        except DiskFullError:
            text += "\n[the whole log was not kept: the disk is full]\n"
    return msgspec.structs.replace(outcome, log=text, log_object=whole, log_bytes=spool.position)


def _way_out(error: BaseException) -> str:
    """Return a last line for errors whose cause is not the step; it becomes the reason of the step."""
    if isinstance(error, OSError) and error.errno in _FULL:
        place = f" at {error.filename}" if error.filename else ""
        return (
            f"{AttemptDiskFullError.__name__}: the disk{place} is full. Free space (`everloop gc --dry-run` shows what could go"
            " from the home), then `everloop resume` goes on with this step.\n"
        )
    return ""


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

    def __init__(self, stream: Any, spool: Spool) -> None:  # noqa: ANN401 - any text stream
        self._stream = stream
        self._spool = spool
        self._thread = threading.get_ident()

    def write(self, text: str, /) -> int:
        """Write to both."""
        if threading.get_ident() == self._thread:
            self._spool.write(text.encode(errors="replace"))
        self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()


class _LogLines(logging.Handler):
    """Keeps what is logged during an attempt."""

    def __init__(self, write: Callable[[str], object]) -> None:
        super().__init__()
        self._write = write
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        self._write(self.format(record) + "\n")


@contextmanager
def captured_log(spool: Spool) -> Iterator[None]:
    """Keep what is printed and logged in the block."""
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Tee(streams[0], spool), _Tee(streams[1], spool)
    try:
        with logged_to(lambda text: spool.write(text.encode(errors="replace"))):
            yield
    finally:
        sys.stdout, sys.stderr = streams


@contextmanager
def logged_to(write: Callable[[str], object]) -> Iterator[None]:
    """Pass records of the block's loggers on as lines."""
    handler = _LogLines(write)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
