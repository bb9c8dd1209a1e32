"""Trace a pipeline into a static graph: its function runs once with symbols in place of values.

A symbol can be passed to steps and, for a declared tuple, unpacked; anything else is refused with the way out, because
the graph must not depend on values that no run has computed yet. Tests: tests/unit/pipelines/test_graph.py.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from everloop.core.digests import NotCanonicalError, canonical_json
from everloop.core.errors import InvalidInputError
from everloop.pipelines.inputs import File, kind_of
from everloop.pipelines.records import Argument, Graph, Node
from everloop.pipelines.steps import hints_of, tracer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from everloop.pipelines.steps import AnyPipeline, AnyStep


class TraceError(InvalidInputError):
    """A pipeline does something with a value that exists only when it runs."""

    code = "pipelines.trace"


class Traced(msgspec.Struct, frozen=True):
    """A graph and the steps its nodes call, by node name."""

    graph: Graph
    steps: dict[str, Any]


class Symbol:
    """Stands for a value while a pipeline is traced."""

    __slots__ = ("argument", "count", "label")

    def __init__(self, argument: Argument, label: str, count: int | None = None) -> None:
        self.argument = argument
        self.label = label
        self.count = count

    def __iter__(self) -> Iterator[Symbol]:
        """Unpack a step's declared tuple."""
        if self.count is None:
            self._refuse("unpacks it. Declare the step's result as `tuple[A, B]`")
        return iter([self[index] for index in range(self.count)])

    def __getitem__(self, index: int) -> Symbol:
        """Return one item of a step's declared tuple."""
        if self.count is None or not isinstance(index, int) or not -self.count <= index < self.count:
            self._refuse(
                "takes an item of it. Declare the step's result as `tuple[A, B]`, or do it inside a step"
            )
        place = index % self.count
        argument = Argument(kind="step", name=self.argument.name, item=place)
        return Symbol(argument, f"{self.label}[{place}]")

    def __bool__(self) -> bool:  # noqa: PLE0304 - it always raises
        """Refuse: a branch would depend on a value that no run has computed."""
        self._refuse("decides by it. Decide inside a step")

    def __getattr__(self, name: str) -> NoReturn:
        """Refuse: there is no value yet."""
        if name.startswith("__"):
            raise AttributeError(name)
        self._refuse(f"reads .{name} of it. Do that inside a step")

    def _refuse(self, what: str) -> NoReturn:
        raise TraceError(f"the pipeline {what}: {self.label} has no value while the graph is drawn.")

    def _arithmetic(self, other: object) -> NoReturn:
        del other
        self._refuse("computes with it. Do that inside a step")

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _arithmetic
    __lt__ = __le__ = __gt__ = __ge__ = __mod__ = __pow__ = __and__ = __or__ = _arithmetic


class _Tracer:
    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.steps: dict[str, AnyStep] = {}

    def call(self, step: AnyStep, arguments: dict[str, Any]) -> Symbol:
        """Record a call of a step."""
        used = sum(1 for name in self.steps if name.split("#")[0] == step.name)
        name = step.name if used == 0 else f"{step.name}#{used + 1}"
        node = Node(
            name=name,
            step=step.identity,
            arguments={key: to_argument(value, f"{name}({key}=...)") for key, value in arguments.items()},
            outputs=step.output_count,
            options=step.options,
        )
        self.nodes.append(node)
        self.steps[name] = step
        return Symbol(Argument(kind="step", name=name), name, step.output_count)


def trace(pipeline: AnyPipeline) -> Traced:
    """Return the graph of a pipeline.

    Raises:
        TraceError: the function branches on, computes with or reads into a value that only a run has.
    """
    hints = hints_of(pipeline.function)
    names = list(inspect.signature(pipeline.function).parameters)
    symbols = {name: Symbol(Argument(kind="input", name=name), f"the input {name}") for name in names}
    active = _Tracer()
    token = tracer.set(active)
    try:
        result = pipeline.function(**symbols)
    finally:
        tracer.reset(token)
    graph = Graph(
        name=pipeline.name,
        inputs={name: kind_of(hints.get(name)) for name in names},
        nodes=active.nodes,
        result=to_argument(result, "the result"),
    )
    return Traced(graph, dict(active.steps))


def to_argument(value: object, where: str) -> Argument:
    """Return where a value of a traced call comes from.

    Raises:
        TraceError: it is neither a symbol nor a plain value.
    """
    if isinstance(value, Symbol):
        return value.argument
    if isinstance(value, File):
        return Argument(kind="file", value=str(value.path))
    if isinstance(value, list | tuple):
        items = [to_argument(item, where) for item in value]
        return Argument(kind="list" if isinstance(value, list) else "tuple", items=items)
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        items = [to_argument(item, where) for item in value.values()]
        return Argument(kind="dict", keys=list(value), items=items)
    try:
        canonical_json(value)
    except NotCanonicalError as error:
        raise TraceError(
            f"{where} gets a {type(value).__name__}, which has no plain form. Pass it as an input of the pipeline, or make"
            " it inside a step."
        ) from error
    return Argument(kind="value", value=msgspec.to_builtins(value))


def sources_of(argument: Argument) -> set[str]:
    """Return the names of the nodes an argument takes values from."""
    if argument.kind == "step":
        return {argument.name}
    return {name for item in argument.items for name in sources_of(item)}


def upstream_of(node: Node) -> set[str]:
    """Return the names of the nodes that must be done before this one."""
    return {name for argument in node.arguments.values() for name in sources_of(argument)}


def draw(graph: Graph) -> str:
    """Return the graph as text, one node a line with what it takes."""
    lines = [f"{graph.name}({', '.join(f'{name}: {kind}' for name, kind in graph.inputs.items())})"]
    for node in graph.nodes:
        taken = ", ".join(f"{key}={_text(argument)}" for key, argument in node.arguments.items())
        lines.append(f"  {node.name}({taken})")
    return "\n".join([*lines, f"  -> {_text(graph.result)}"])


def _text(argument: Argument) -> str:
    if argument.kind in {"step", "input"}:
        return argument.name + (f"[{argument.item}]" if argument.item is not None else "")
    if argument.items:
        return "[" + ", ".join(_text(item) for item in argument.items) + "]"
    return repr(argument.value)
