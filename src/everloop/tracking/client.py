"""The run as a program holds it: log values, flush them in batches, finish.

`log` appends to memory; a batch leaves when a second has passed, when 1,000 points wait, or at the end. A batch carries
(run, writer, sequence), so that sending it twice counts once. Tests: tests/unit/tracking/test_client.py.
"""

from __future__ import annotations

import math
import threading
import time
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from everloop.core.ids import new_id
from everloop.tracking.records import Plain, Point

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextvars import Token
    from types import TracebackType
    from typing import Self

    from everloop.core.clock import Clock
    from everloop.kernel.objects import Objects
    from everloop.tracking.records import RunArtifact, RunStatus

_FLUSH_POINTS = 1000
_FLUSH_S = 1.0


class Sink(Protocol):
    """Where a run's values go: the verbs of `Tracking` that an active run needs."""

    def log_batch(
        self,
        run: str,
        *,
        writer: str,
        sequence: int,
        points: list[Point],
        params: dict[str, Plain],
        tags: dict[str, str],
    ) -> int:
        """Apply one batch once."""
        ...

    def record_artifact(self, run: str, *, name: str, digest: str, size_bytes: int) -> RunArtifact:
        """Name a stored object as an output of the run."""
        ...

    def finish_run(self, run: str, *, status: RunStatus, error: str = "") -> object:
        """Close the run."""
        ...


class ActiveRun:
    """A run in progress; use it as a context manager. Threads may log to one run.

    Attributes:
        id: the run's id.
    """

    def __init__(self, sink: Sink, objects: Objects, clock: Clock, *, run_id: str) -> None:
        self.id = run_id
        self._sink = sink
        self._objects = objects
        self._clock = clock
        self._writer = new_id()
        self._sequence = 0
        self._points: list[Point] = []
        self._params: dict[str, Plain] = {}
        self._tags: dict[str, str] = {}
        self._steps: dict[str, float] = {}
        self._flushed_at = time.monotonic()
        self._lock = threading.RLock()
        self._token: Token[ActiveRun | None] | None = None

    def log(
        self, values: Mapping[str, float] | None = None, *, step: float | None = None, **metrics: float
    ) -> None:
        """Append one value of each metric.

        Args:
            values: metrics whose names are no identifiers, `{"valid/auc": 0.8}`.
            step: where on the axis; without it each metric counts its own values from 0.
            **metrics: name and value; a value that is not finite is kept as a gap.
        """
        now = self._clock.now()
        with self._lock:
            for name, value in {**(values or {}), **metrics}.items():
                at = self._steps.get(name, 0.0) if step is None else float(step)
                self._steps[name] = at + 1
                number = float(value)
                self._points.append(
                    Point(name=name, value=number if math.isfinite(number) else None, step=at, time=now)
                )
            if len(self._points) >= _FLUSH_POINTS or time.monotonic() - self._flushed_at > _FLUSH_S:
                self.flush()

    def log_params(self, params: Mapping[str, Plain] | None = None, **more: Plain) -> None:
        """Set params of the run; a value that is not plain is kept as its text."""
        with self._lock:
            for name, value in {**(params or {}), **more}.items():
                self._params[name] = value if isinstance(value, Plain) else str(value)

    def tag(self, **tags: object) -> None:
        """Set labels for search."""
        with self._lock:
            self._tags.update({name: str(value) for name, value in tags.items()})

    def log_artifact(self, name: str, content: bytes | Path | str) -> RunArtifact:
        """Store bytes or a file as a named output of the run.

        Args:
            name: name of the artifact; the same name again replaces it.
            content: bytes, or the path of a file.
        """
        source = Path(content) if isinstance(content, str) else content
        digest = self._objects.put(source)
        size = len(source) if isinstance(source, bytes) else source.stat().st_size
        return self._sink.record_artifact(self.id, name=name, digest=digest, size_bytes=size)

    def flush(self) -> None:
        """Send what waits; return when it is applied."""
        with self._lock:
            self._flushed_at = time.monotonic()
            if not (self._points or self._params or self._tags):
                return
            self._sink.log_batch(
                self.id,
                writer=self._writer,
                sequence=self._sequence,
                points=self._points,
                params=self._params,
                tags=self._tags,
            )
            self._sequence += 1
            self._points, self._params, self._tags = [], {}, {}

    def finish(self, status: RunStatus = "finished", *, error: str = "") -> None:
        """Send what waits and close the run."""
        self.flush()
        self._sink.finish_run(self.id, status=status, error=error)

    def activate(self) -> None:
        """Make this the run that `everloop.log` speaks to in this context."""
        self._token = _current.set(self)

    def deactivate(self) -> None:
        """Undo `activate`."""
        if self._token is not None:
            _current.reset(self._token)
            self._token = None

    def __enter__(self) -> Self:
        """Activate the run."""
        self.activate()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Finish the run as it ended: finished, failed, or killed by Ctrl-C."""
        del traceback
        self.deactivate()
        if kind is None:
            self.finish()
        elif issubclass(kind, Exception):
            self.finish("failed", error=f"{kind.__name__}: {error}")
        else:
            self.finish("killed", error=kind.__name__)


_current: ContextVar[ActiveRun | None] = ContextVar("everloop_run", default=None)


def current_run() -> ActiveRun | None:
    """Return the run that is active here, if any."""
    return _current.get()


def log(values: Mapping[str, float] | None = None, *, step: float | None = None, **metrics: float) -> None:
    """Log metrics to the active run; outside one, nothing happens, so that a step runs alone as a plain function."""
    run = _current.get()
    if run is not None:
        run.log(values, step=step, **metrics)
