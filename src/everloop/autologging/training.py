"""One training of any library, as it is logged: its run, and what is put into it.

Only the outermost training of a thread is logged, and in threads that a training has started none. What is called of ours beside the
user's own call is kept from raising. Tests: tests/unit/autologging/test_sklearn.py.
"""

from __future__ import annotations

import atexit
import logging
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Self

import msgspec
import wrapt

from everloop.core.errors import EverloopError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType

    from everloop.app import App
    from everloop.tracking.client import ActiveRun

_log = logging.getLogger(__name__)
_MOST_IMPORTANCES = 1000
_EXAMPLE_ROWS = 20


class Options(msgspec.Struct, kw_only=True):
    """What `autolog` was called with."""

    app: Any
    libraries: set[str]
    log_models: bool
    every: int
    start_runs: bool


class _State:
    def __init__(self) -> None:
        self.options: Options | None = None
        self.lock = threading.Lock()
        self.opened: App | None = None
        # Trainings that go on, by thread.
        self.going_on: set[int] = set()
        self.told: set[str] = set()


_state = _State()


def current_run() -> ActiveRun | None:
    """Return the run that is active here; without having loaded tracking there is none."""
    client = sys.modules.get("everloop.tracking.client")
    return None if client is None else client.current_run()


def use(options: Options | None) -> None:
    """Take new options; None ends all logging."""
    _state.options = options


def options_for(library: str) -> Options | None:
    """Return the options when trainings of a library are logged here and now."""
    options = _state.options
    if options is None or library not in options.libraries:
        return None
    with _state.lock:
        if threading.get_ident() in _state.going_on or (_state.going_on and current_run() is None):
            return None
    if current_run() is None and not options.start_runs:
        return None
    return options


class Training:
    """Use as a context manager around the call of the library."""

    def __init__(self, library: str, options: Options) -> None:
        self.library = library
        self.options = options
        self._run: ActiveRun | None = None
        self._is_ours = False
        self._last: dict[str, tuple[float, dict[str, float]]] = {}
        self._undo: list[Callable[[], None]] = []

    def on_end(self, undo: Callable[[], None]) -> None:
        """Call this when the training has ended, however it did: what was hung into the user's objects is taken away again."""
        self._undo.append(undo)

    @property
    def run(self) -> ActiveRun:
        """Return the run; the one that is active here, else one that is started now."""
        if self._run is None:
            self._run = current_run()
        if self._run is None:
            self._run = _app(self.options).tracking.start(
                experiment=self.library, tags={"autolog": self.library}
            )
            self._run.activate()
            self._is_ours = True
        return self._run

    def safely(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return what the work returns, None when it fails; that is told once for each kind of failure."""
        try:
            return work(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - the training goes on
            kind = f"{self.library}: {type(error).__name__}"
            if kind not in _state.told:
                _state.told.add(kind)
                _log.warning("autolog left something out: %s: %s", kind, error)
            return None

    def params(self, values: Mapping[str, Any], *, prefix: str = "") -> None:
        """Log params that are not None."""
        self.run.log_params({f"{prefix}{name}": value for name, value in values.items() if value is not None})

    def metrics(self, values: Mapping[str, Any], step: float | None = None) -> None:
        """Log what is a number among the values, at each so-many-th step."""
        numbers = {}
        for name, value in values.items():
            try:
                numbers[str(name)] = float(value)
            except (TypeError, ValueError):
                continue
        if not numbers:
            return
        if step is not None and self.options.every > 1:
            for name in numbers:
                self._last.pop(name, None)
            if step % self.options.every:
                self._last |= {name: (step, {name: value}) for name, value in numbers.items()}
                return
        self.run.log(numbers, step=step)

    def importance(self, names: Iterable[Any], values: Iterable[float], *, kind: str = "importance") -> None:
        """Log a table of features and their weight, the largest first."""
        import pyarrow as pa

        pairs = [(str(name), float(value)) for name, value in zip(names, values, strict=False)]
        pairs.sort(key=lambda one: -abs(one[1]))
        del pairs[_MOST_IMPORTANCES:]
        if pairs:
            table = pa.table({"feature": [name for name, _ in pairs], kind: [value for _, value in pairs]})
            self.run.log({f"feature_{kind}": table})

    def data(self, **frames: object) -> None:
        """Log the dataset versions that frames come from, and their shapes."""
        for name, frame in frames.items():
            shape = getattr(frame, "shape", None)
            if isinstance(shape, tuple) and shape:
                self.params(
                    {f"{name}.rows": shape[0], f"{name}.columns": shape[1] if len(shape) > 1 else None}
                )
            known = getattr(frame, "attrs", {}).get("everloop")
            if known:
                self.run.log_input(name, known["ref"], digest=known["digest"])

    def model(self, estimator: object, example: Any, target: Any) -> None:
        """Keep a model as files with its signature; one that has no safe format, or no named columns, is left out.

        Args:
            estimator: the trained model.
            example: what it was trained on; needs named columns.
            target: the values or the name of what it predicts.
        """
        if not self.options.log_models:
            return
        from everloop.registry.model import Model

        names = getattr(example, "columns", None)
        if names is None:
            example, names = _named(example)
        try:
            model = Model(
                estimator,
                features=[str(name) for name in names],
                target=str(getattr(target, "name", None) or "target"),
                example=example[:_EXAMPLE_ROWS]
                if not hasattr(example, "head")
                else example.head(_EXAMPLE_ROWS),
            )
        except EverloopError as error:
            self.run.tag(model=f"not kept: {error}"[:500])
            return
        self.files(model.files)

    def files(self, files: Mapping[str, bytes]) -> None:
        """Keep the files of a model as artifacts `model/...`."""
        if self.options.log_models:
            for name, content in files.items():
                self.run.log_artifact(f"model/{name}", content)

    def __enter__(self) -> Self:
        """Begin: trainings inside this one are not logged."""
        self._started = time.perf_counter()
        with _state.lock:
            _state.going_on.add(threading.get_ident())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the last steps, and end a run that was started here as the training ended."""
        del trace
        with _state.lock:
            _state.going_on.discard(threading.get_ident())
        for undo in self._undo:
            self.safely(undo)
        if self._run is not None:
            self.safely(self._end, kind, error)

    def _end(self, kind: type[BaseException] | None, error: BaseException | None) -> None:
        run = self.run
        for step, values in self._last.values():
            run.log(values, step=step)
        run.log({"training_s": time.perf_counter() - self._started})
        if not self._is_ours:
            return
        run.deactivate()
        if kind is None:
            run.finish()
        else:
            run.finish(
                "failed" if issubclass(kind, Exception) else "killed", error=f"{kind.__name__}: {error}"
            )


def follow(
    library: str,
    before: Callable[
        [Training, Any, tuple[Any, ...], dict[str, Any]], tuple[tuple[Any, ...], dict[str, Any]] | None
    ],
    after: Callable[[Training, Any, Any, tuple[Any, ...], dict[str, Any]], None],
    *,
    counts: Callable[[Any], bool] = lambda _: True,
) -> Callable[..., Any]:
    """Return a wrapper for `wrapt` that logs a call of a library's training function.

    Args:
        library: its name among those of `autolog`.
        before: is given the training, the instance, and the arguments; returns arguments to call with instead, or None.
        after: is given the training, the instance, the result, and the arguments.
        counts: says whether a call on an instance is a training at all.
    """

    def wrapper(
        wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        options = options_for(library)
        if options is None or not counts(instance):
            return wrapped(*args, **kwargs)
        with Training(library, options) as training:
            given = training.safely(before, training, instance, args, kwargs) or (args, kwargs)
            result = wrapped(*given[0], **given[1])
            training.safely(after, training, instance, result, args, kwargs)
            return result

    return wrapper


def wrap(owner: Any, name: str, wrapper: Callable[..., Any]) -> None:
    """Put a wrapper around a function of a module or class, once."""
    found = owner.__dict__.get(name)
    if found is not None and not getattr(found, "_self_everloop", False):
        wrapped: Any = wrapt.FunctionWrapper(found, wrapper)
        wrapped._self_everloop = True  # noqa: SLF001 - the wrapper's own place for such things
        setattr(owner, name, wrapped)


def log_boosting(
    training: Training, args: tuple[Any, ...], kwargs: Mapping[str, Any], callback: Any
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Log the params of `train(params, data, num_boost_round)`; return its arguments with a callback more."""
    params = dict(argument(args, kwargs, 0, "params") or {})
    training.params({name: value for name, value in params.items() if not callable(value)})
    training.params({"num_boost_round": argument(args, kwargs, 2, "num_boost_round")})
    return args, {**kwargs, "callbacks": [*(kwargs.get("callbacks") or []), callback]}


def argument(args: tuple[Any, ...], kwargs: Mapping[str, Any], place: int, name: str) -> Any:
    """Return an argument that may be given by place or by name; None when it is not given."""
    return args[place] if len(args) > place else kwargs.get(name)


def _named(matrix: Any) -> tuple[Any, list[str]]:
    """Return some rows of an array of shape (n, columns) by the names of columns that it does not have."""
    import numpy as np

    rows = np.asarray(matrix[:_EXAMPLE_ROWS])
    names = [f"x{at}" for at in range(rows.shape[1])]
    import pyarrow as pa

    return pa.table({name: rows[:, at] for at, name in enumerate(names)}), names


def _app(options: Options) -> App:
    if options.app is not None:
        found: App = options.app
        return found
    with _state.lock:
        if _state.opened is None:
            from everloop.app import connect

            _state.opened = connect()
            atexit.register(_state.opened.close)
        return _state.opened
