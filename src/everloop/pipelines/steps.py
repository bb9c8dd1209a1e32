"""`@step` and `@pipeline`: plain functions that can also be traced into a graph.

Outside a trace both just run. Inside one (see `graph.py`) a step records its call and answers with a symbol. Tests:
tests/unit/pipelines/test_steps.py.
"""

from __future__ import annotations

import functools
import inspect
from contextvars import ContextVar
from types import FunctionType
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    ParamSpec,
    Protocol,
    TypeVar,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    overload,
)

import msgspec

from everloop.core.durations import parse_duration
from everloop.core.errors import InvalidInputError
from everloop.core.sizes import parse_size
from everloop.pipelines.records import StepOptions
from everloop.pipelines.sources import module_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager
    from datetime import timedelta

    from everloop.pipelines.records import ApprovalRequest

P = ParamSpec("P")
R = TypeVar("R")


class InvalidStepError(InvalidInputError):
    """Something that cannot be a step or a pipeline was decorated."""

    code = "pipelines.invalid-step"


class Tracer(Protocol):
    """What takes down the calls of steps while a pipeline is traced."""

    def call(self, step: AnyStep, arguments: dict[str, Any]) -> object:
        """Record a call; return what stands for its result."""
        ...

    def map(self, step: AnyStep, lists: tuple[Any, ...], shared: dict[str, Any]) -> object:
        """Record a call for each item of lists; see `Step.map`."""
        ...

    def branch(
        self,
        condition: object,
        then: AnyStep,
        otherwise: AnyStep | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> object:
        """Record a call that depends on a condition; see `control.when`."""
        ...

    def loop(self, body: AnyStep, start: object, until: AnyStep, at_most: int) -> object:
        """Record the rounds of a loop; see `control.repeat`."""
        ...

    def ask(self, value: object, request: ApprovalRequest, name: str) -> object:
        """Record a question to a person; see `control.approve`."""
        ...

    def inside(self, pipeline: str) -> AbstractContextManager[None]:
        """Name the nodes of the block after a pipeline that is called by another one."""
        ...


tracer: ContextVar[Tracer | None] = ContextVar("everloop_tracer", default=None)


class Step(Generic[P, R]):
    """A function that can be a node of a pipeline; calling it outside a trace just calls the function.

    Attributes:
        name: of the node it makes.
        function: the plain function.
        options: how it runs in a pipeline.
    """

    def __init__(self, function: Callable[P, R], options: StepOptions, name: str = "") -> None:
        self.function = _plain_function(function)
        self.options = options
        self.name = name or self.function.__name__
        functools.update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function, or record the call while a pipeline is traced."""
        active = tracer.get()
        if active is None:
            return cast("R", self.function(*args, **kwargs))
        return cast("R", active.call(self, self.bind(args, kwargs)))

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of a call by parameter name, defaults included."""
        bound = inspect.signature(self.function).bind(*args, **kwargs)
        bound.apply_defaults()
        return dict(bound.arguments)

    def map(self, *lists: Iterable[Any], **shared: Any) -> list[R]:  # noqa: ANN401 - arguments of any step
        """Call the step for each item of a list: `score.map(models)`, `score.map(models, folds, table=rows)`.

        Each call is a node of its own, cached and tried again alone; they run side by side where the executor has workers.

        Args:
            *lists: for the first parameters in order; of one length, known when the run is there.
            **shared: arguments that are the same in every call.
        """
        active = tracer.get()
        if active is not None:
            return cast("list[R]", active.map(self, lists, shared))
        columns = [list(items) for items in lists]
        if not columns or len({len(items) for items in columns}) > 1:
            raise InvalidStepError(
                f"{self.name}.map() got lists of {', '.join(str(len(items)) for items in columns) or 'no'} items. Give lists of one length."
            )
        call = cast("Callable[..., R]", self.function)
        return [call(*items, **shared) for items in zip(*columns, strict=True)]

    def with_(
        self,
        *,
        retries: int | None = None,
        backoff: str | float | timedelta | None = None,
        timeout: str | float | timedelta | None = None,
        cache: bool | None = None,
        ttl: str | float | timedelta | None = None,
        on: tuple[str, ...] | None = None,
        name: str = "",
        **resources: Any,  # noqa: ANN401 - each option has its own type
    ) -> Step[P, R]:
        """Return the same step with other options; see `StepOptions` for their meaning.

        Durations read `"90s"`, `"7d"`, sizes `"4GB"`. The `resources` are `priority`, `cpus`, `memory`, `gpus`, `env`.
        """
        change = _options(
            retries=retries, backoff=backoff, timeout=timeout, cache=cache, ttl=ttl, on=on, **resources
        )
        return Step(
            cast("Callable[P, R]", self.function),
            msgspec.structs.replace(self.options, **change),
            name or self.name,
        )

    @property
    def identity(self) -> str:
        """Return module and qualified name of the function."""
        return f"{module_name(self.function.__module__)}:{self.function.__qualname__}"

    @functools.cached_property
    def output_count(self) -> int | None:
        """Return how many values a declared tuple has; None when the result is one value."""
        returned = hints_of(self.function).get("return")
        if get_origin(returned) is tuple and Ellipsis not in get_args(returned):
            return len(get_args(returned))
        return None


AnyStep = Step[Any, Any]
_PLAIN_OPTIONS = ("retries", "cache", "on", "priority", "cpus", "gpus", "env")


class Pipeline(Generic[P, R]):
    """A function that calls steps; calling it just runs them, `Pipelines.run` runs it as a graph.

    Attributes:
        name: of the pipeline.
        function: the plain function.
    """

    def __init__(self, function: Callable[P, R], name: str = "") -> None:
        self.function = _plain_function(function)
        self.name = name or self.function.__name__
        functools.update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function as it stands; inside another pipeline's trace its steps join that graph under its name."""
        active = tracer.get()
        if active is None:
            return cast("R", self.function(*args, **kwargs))
        with active.inside(self.name):
            return cast("R", self.function(*args, **kwargs))

    @property
    def identity(self) -> str:
        """Return module and qualified name of the function."""
        return f"{module_name(self.function.__module__)}:{self.function.__qualname__}"


AnyPipeline = Pipeline[Any, Any]


class _StepMaker(Protocol):
    def __call__(self, function: Callable[P, R], /) -> Step[P, R]: ...


class _PipelineMaker(Protocol):
    def __call__(self, function: Callable[P, R], /) -> Pipeline[P, R]: ...


@overload
def step(function: Callable[P, R], /) -> Step[P, R]: ...
@overload
def step(
    *,
    retries: int = ...,
    backoff: str | float | timedelta = ...,
    timeout: str | float | timedelta | None = ...,
    cache: bool = ...,
    ttl: str | float | timedelta | None = ...,
    on: tuple[str, ...] = ...,
    priority: int = ...,
    cpus: float = ...,
    memory: str | int = ...,
    gpus: float = ...,
    env: str = ...,
    name: str = ...,
) -> _StepMaker: ...
def step(
    function: Callable[P, R] | None = None, /, *, name: str = "", **options: Any
) -> Step[P, R] | _StepMaker:
    """Make a step of a plain function.

    Args:
        function: any function of a module; it stays callable as before.
        name: name of its nodes, the function's by default.
        **options: see `StepOptions`; `timeout`, `ttl` and `backoff` read `"90s"`.

    Example:
        >>> @step(retries=2, timeout="10m")
        ... def double(x: int) -> int:
        ...     return 2 * x
        >>> double(4)
        8
    """
    chosen = msgspec.structs.replace(StepOptions(), **_options(**options))
    if function is not None:
        return Step(function, chosen, name)
    return cast("_StepMaker", lambda decorated: Step(decorated, chosen, name))


@overload
def pipeline(function: Callable[P, R], /) -> Pipeline[P, R]: ...
@overload
def pipeline(*, name: str) -> _PipelineMaker: ...
def pipeline(function: Callable[P, R] | None = None, /, *, name: str = "") -> Pipeline[P, R] | _PipelineMaker:
    """Make a pipeline of a function that calls steps.

    Args:
        function: a function of a module; its parameters are the pipeline's inputs.
        name: name of the pipeline, the function's by default.
    """
    if function is not None:
        return Pipeline(function, name)
    return cast("_PipelineMaker", lambda decorated: Pipeline(decorated, name))


def hints_of(function: FunctionType) -> dict[str, Any]:
    """Return the annotations of a function as types; those that cannot be resolved are left out."""
    try:
        return get_type_hints(function)
    except (NameError, AttributeError, TypeError):
        names = {
            name: value for name, value in function.__annotations__.items() if not isinstance(value, str)
        }
        return names | {
            name: found for name, text in _texts(function) if (found := _resolve(function, text)) is not None
        }


def _texts(function: FunctionType) -> list[tuple[str, str]]:
    return [(name, value) for name, value in function.__annotations__.items() if isinstance(value, str)]


def _resolve(function: FunctionType, text: str) -> object | None:
    """Resolve a dotted annotation such as `el.Table`, without evaluating code."""
    head, *rest = text.split(".")
    value: object | None = function.__globals__.get(head)
    for name in rest:
        value = getattr(value, name, None)
    return value


def _options(**given: Any) -> dict[str, Any]:  # noqa: ANN401 - each option has its own type
    """Return the fields of `StepOptions` for the options that were given."""
    fields: dict[str, Any] = {}
    for name, value in given.items():
        if name in {"backoff", "timeout", "ttl"}:
            if value is not None:
                fields[f"{name}_s"] = parse_duration(value).total_seconds()
        elif name == "memory":
            if value is not None:
                fields["memory_bytes"] = parse_size(value)
        elif name not in _PLAIN_OPTIONS:
            raise InvalidStepError(
                f"a step has no option {name!r}. It knows backoff, timeout, ttl, memory, name, {', '.join(_PLAIN_OPTIONS)}."
            )
        elif value is not None:
            fields[name] = value
    return fields


def _plain_function(function: object) -> FunctionType:
    if isinstance(function, Step | Pipeline):
        return function.function
    if isinstance(function, FunctionType) and not inspect.iscoroutinefunction(function):
        return function
    raise InvalidStepError(
        f"{function!r} cannot be a step: decorate a plain `def` function of a module (no class, no coroutine, no lambda object)."
    )
