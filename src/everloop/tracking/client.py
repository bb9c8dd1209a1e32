"""The run as a program holds it: log values, name artifacts, finish.

A call of `log` appends to memory and returns; `courier.py` says when values leave. Nothing that goes wrong on the way reaches the
training loop. Tests: tests/unit/tracking/test_client.py.
"""

from __future__ import annotations

import logging
import weakref
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsFloat

from everloop.core.errors import InvalidInputError, UnavailableError
from everloop.tracking.naming import check_names, check_texts
from everloop.tracking.records import DatasetInput, Plain, PrintedLine, RunArtifact
from everloop.tracking.spool import End

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextvars import Token
    from types import TracebackType
    from typing import Self

    from everloop.kernel.objects import Objects
    from everloop.tracking.courier import Courier
    from everloop.tracking.delivery import Sink
    from everloop.tracking.media.values import Encoded
    from everloop.tracking.records import RunStatus

_log = logging.getLogger(__name__)
# A number, or a value of everloop.media or of one of the libraries that it knows.
Loggable = SupportsFloat | Any


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
        self._endings: list[Callable[[], None]] = []

    def log(
        self,
        values: Mapping[str, Loggable] | None = None,
        *,
        step: SupportsFloat | None = None,
        **metrics: Loggable,
    ) -> None:
        """Append one value of each name; return at once.

        Args:
            values: values whose names are no identifiers, `{"valid/auc": 0.8}`.
            step: where on the axis; without it each name counts its own values from 0.
            **metrics: name and value. Numbers are metrics; NaN and infinities are kept and shown as such. A text, a list of numbers, a
                table, a figure, or one of `everloop.media` is kept beside them at its step.

        Raises:
            BadValueError: a value is nothing that can be shown, or the step is no number.
            BadMediaError: a picture, sound or the like has the wrong form, or is too large.
            BadNameError: a name is empty, too long, or holds control characters.
        """
        given = {**values, **metrics} if values else metrics
        numbers: dict[str, float] = given  # type: ignore[assignment] # the loop makes floats of them
        others: dict[str, list[Encoded]] | None = None
        for name, value in given.items():
            if type(value) is not float:
                number = _as_number(value)
                if number is None:
                    others = {} if others is None else others
                    others[name] = _shown(name, value)
                else:
                    numbers[name] = number
            if name not in self._names:
                check_names([name])
                self._names.add(name)
        if step is not None:
            step = _place(step)
        if self._is_finished:
            _log.warning("run %s is finished; values logged after its end are dropped", self.id)
            return
        if others is not None:
            for name, shown in others.items():
                del numbers[name]
                self._courier.buffer.add_media(name, shown, step)
        if numbers:
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

    def log_input(self, name: str, ref: str, *, digest: str = "") -> None:
        """Note that the run reads a dataset version, `flights@v3`, under the name that it has here."""
        check_names([name, ref])
        self._courier.buffer.add_input(DatasetInput(name=name, ref=ref, digest=digest))
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

    def capture_console(self) -> None:
        """Keep what this process prints from here to the end of the run; it is still printed."""
        from everloop.tracking import console

        known = weakref.ref(self)

        def heard(text: str, is_error: bool, /) -> None:  # noqa: FBT001 - a listener
            run = known()
            if run is not None:
                run.keep_line(text, is_error=is_error)

        end = console.listen(heard)
        self._endings.append(end)
        # A run that nobody holds any more does not go on listening.
        weakref.finalize(self, end)

    def watch_system(self, every_s: float = 10.0) -> None:
        """Log the use of processors, memory, disk, network and GPUs from here to the end of the run, as metrics `system/...`."""
        from everloop.tracking import system_metrics

        self._endings.append(system_metrics.watch(self, every_s))

    def keep_line(self, text: str, *, is_error: bool = False) -> None:
        """Keep a line as printed by the program, without printing it."""
        self._courier.buffer.add_line(PrintedLine(self._courier.buffer.now(), is_error, text))
        self._courier.nudge()

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
            for end in self._endings:
                end()
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
_NO_NUMBERS = (str, bytes, bytearray)
_current: ContextVar[ActiveRun | None] = ContextVar("everloop_run", default=None)


def current_run() -> ActiveRun | None:
    """Return the run that is active here, if any."""
    return _current.get()


def log(
    values: Mapping[str, Loggable] | None = None,
    *,
    step: SupportsFloat | None = None,
    **metrics: Loggable,
) -> None:
    """Log values to the active run; outside one, nothing happens, so that a step runs alone as a plain function."""
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
    number = _as_number(value)
    if number is None:
        raise BadValueError(f"{name} is {str(value)[:60]!r}, which is no number. Give one.", subject=name)
    return number


def _as_number(value: object) -> float | None:
    """Return a number of any library as a float; None for what is none, texts and arrays among it."""
    if type(value) is not int and (isinstance(value, _NO_NUMBERS) or getattr(value, "ndim", None)):
        return None
    try:
        return float(value)  # type: ignore[arg-type] # whatever it is, this says whether it is a number
    except (TypeError, ValueError, OverflowError):
        return None


def _shown(name: str, value: object) -> list[Encoded]:
    from everloop.tracking.media.values import as_media

    shown = as_media(value)
    if shown is None:
        raise BadValueError(
            f"{name} is {str(value)[:60]!r}, which is neither a number nor something to show. Log numbers, texts, lists of numbers,"
            " tables, figures, or one of everloop.media; set params with log_params.",
            subject=name,
        )
    return shown
