"""The run as a program holds it: log values, name artifacts, finish.

A call of `log` appends to memory and returns; `courier.py` says when values leave. Nothing that goes wrong on the way reaches the
training loop. Tests: tests/unit/tracking/test_client.py.
"""

from __future__ import annotations

import logging
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsFloat

from everloop.core.errors import InvalidInputError, UnavailableError
from everloop.tracking.naming import check_names, check_texts
from everloop.tracking.records import Plain, RunArtifact
from everloop.tracking.spool import End

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextvars import Token
    from types import TracebackType
    from typing import Self

    from everloop.kernel.objects import Objects
    from everloop.tracking.courier import Courier
    from everloop.tracking.delivery import Sink
    from everloop.tracking.records import RunStatus

_log = logging.getLogger(__name__)


class BadValueError(InvalidInputError):
    """A metric's value or step is no number."""

    code = "tracking.bad-value"


class ActiveRun:
    """A run in progress; use it as a context manager. Threads may log to one run.

    Attributes:
        id: the run's id.
    """

    def __init__(self, sink: Sink, objects: Objects, courier: Courier, *, run_id: str) -> None:
        self.id = run_id
        self._sink = sink
        self._objects = objects
        self._courier = courier
        self._names: set[str] = set()
        self._is_finished = False
        self._token: Token[ActiveRun | None] | None = None

    def log(
        self,
        values: Mapping[str, SupportsFloat] | None = None,
        *,
        step: SupportsFloat | None = None,
        **metrics: SupportsFloat,
    ) -> None:
        """Append one value of each metric; return at once.

        Args:
            values: metrics whose names are no identifiers, `{"valid/auc": 0.8}`.
            step: where on the axis; without it each metric counts its own values from 0.
            **metrics: name and value; NaN and infinities are kept and shown as such.

        Raises:
            BadValueError: a value or the step is no number.
            BadNameError: a name is empty, too long, or holds control characters.
        """
        given = {**values, **metrics} if values else metrics
        numbers: dict[str, float] = given  # type: ignore[assignment] # the loop makes floats of them
        for name, value in given.items():
            if type(value) is not float:
                numbers[name] = _number(name, value)
            if name not in self._names:
                check_names([name])
                self._names.add(name)
        if step is not None:
            step = _place(step)
        if self._is_finished:
            _log.warning("run %s is finished; values logged after its end are dropped", self.id)
            return
        self._courier.buffer.add(numbers, step)
        self._courier.nudge()

    def log_params(self, params: Mapping[str, Any] | None = None, **more: Any) -> None:  # noqa: ANN401 - made plain here
        """Set params of the run; nested mappings become dotted names, other values that are not plain their text."""
        found = flatten({**(params or {}), **more})
        check_names(list(found))
        check_texts(found)
        self._courier.buffer.add_params(found.items())
        self._courier.nudge()

    def tag(self, **tags: object) -> None:
        """Set labels for search."""
        found = {name: str(value) for name, value in tags.items()}
        check_names(list(found))
        check_texts(found)
        self._courier.buffer.add_tags(found.items())
        self._courier.nudge()

    def log_artifact(self, name: str, content: bytes | Path | str) -> RunArtifact | None:
        """Store bytes or a file as a named output of the run.

        Args:
            name: name of the artifact; the same name again replaces it.
            content: bytes, or the path of a file.

        Returns:
            The artifact; None when the home is away: then a copy is kept and sent later.
        """
        check_names([name])
        source = Path(content) if isinstance(content, str) else content
        try:
            digest = self._objects.put(source)
            size = len(source) if isinstance(source, bytes) else source.stat().st_size
            return self._sink.record_artifact(self.id, name=name, digest=digest, size_bytes=size)
        except UnavailableError:
            self._courier.artifact(name, source)
            return None

    def flush(self, timeout_s: float = 60.0) -> None:
        """Send what waits; return when it is applied.

        Raises:
            EverloopError: it could not be; it is kept, and goes with what comes next.
        """
        self._courier.flush(timeout_s)

    def finish(self, status: RunStatus = "finished", *, error: str = "") -> None:
        """Send what waits and close the run; a home that is away is not waited for longer than ten seconds."""
        if not self._is_finished:
            self._is_finished = True
            self._courier.finish(End(status=status, error=error, ended_at=self._courier.buffer.now()))

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


_FARTHEST = float("inf")
_current: ContextVar[ActiveRun | None] = ContextVar("everloop_run", default=None)


def current_run() -> ActiveRun | None:
    """Return the run that is active here, if any."""
    return _current.get()


def log(
    values: Mapping[str, SupportsFloat] | None = None,
    *,
    step: SupportsFloat | None = None,
    **metrics: SupportsFloat,
) -> None:
    """Log metrics to the active run; outside one, nothing happens, so that a step runs alone as a plain function."""
    run = _current.get()
    if run is not None:
        run.log(values, step=step, **metrics)


def flatten(params: Mapping[str, Any], prefix: str = "") -> dict[str, Plain]:
    """Return nested params as dotted names with plain values."""
    found: dict[str, Plain] = {}
    for name, value in params.items():
        if isinstance(value, dict) and value:
            found |= flatten(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = _plain(value)
    return found


def _plain(value: object) -> Plain:
    if isinstance(value, float) and not isinstance(value, bool) and value - value != 0:
        return str(float(value))  # NaN and infinities are no JSON numbers
    if isinstance(value, Plain):
        return value
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "ndim", None) == 0:
        return _plain(item())
    return str(value)


def _place(step: SupportsFloat) -> float:
    place = step if type(step) is float else _number("step", step)
    if not -_FARTHEST < place < _FARTHEST:
        raise BadValueError(f"the step {place} is no place on an axis. Give a finite number.", subject="step")
    return place


def _number(name: str, value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type] # whatever it is, this says whether it is a number
    except (TypeError, ValueError, OverflowError) as error:
        raise BadValueError(
            f"{name} is {str(value)[:60]!r}, which is no number. Log numbers as metrics, texts as params or tags.",
            subject=name,
        ) from error
