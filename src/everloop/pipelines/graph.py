"""Trace a pipeline into a static graph: its function runs once with symbols in place of values.

A symbol can be passed to steps and, for a declared tuple, unpacked; anything else is refused with the way out, because
the graph must not depend on values that no run has computed yet. Tests: tests/unit/pipelines/test_graph.py.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, get_args, get_origin

import msgspec

from everloop.core.digests import NotCanonicalError, canonical_json
from everloop.core.errors import InvalidInputError
from everloop.pipelines.hints import fits, item_of, show
from everloop.pipelines.inputs import File, kind_of
from everloop.pipelines.records import LIST, Argument, Graph, Node
from everloop.pipelines.steps import hints_of, tracer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from everloop.pipelines.records import ApprovalRequest
    from everloop.pipelines.steps import AnyPipeline, AnyStep


class TraceError(InvalidInputError):
    """A pipeline does something with a value that exists only when it runs."""

    code = "pipelines.trace"


class Traced(msgspec.Struct, frozen=True):
    """A graph and the steps its nodes call, by node name."""

    graph: Graph
    steps: dict[str, Any]


class Symbol:
    """Stands for a value while a pipeline is traced.

    Attributes:
        argument: where the value comes from.
        label: names it in messages.
        count: of a declared tuple, how many values it has.
        hint: its annotation; None where there is none.
    """

    __slots__ = ("argument", "count", "hint", "label")

    def __init__(self, argument: Argument, label: str, count: int | None = None, hint: object = None) -> None:
        self.argument = argument
        self.label = label
        self.count = count
        self.hint = hint

    def __iter__(self) -> Iterator[Symbol]:
        """Unpack a step's declared tuple."""
        if self.count is None:
            self._refuse(
                "unpacks it. Declare the step's result as `tuple[A, B]`, or use `step.map(...)` for a list"
            )
        return iter([self[index] for index in range(self.count)])

    def __getitem__(self, index: int) -> Symbol:
        """Return one item of a step's declared tuple."""
        if self.count is None or not isinstance(index, int) or not -self.count <= index < self.count:
            self._refuse(
                "takes an item of it. Declare the step's result as `tuple[A, B]`, or do it inside a step"
            )
        place = index % self.count
        hints = get_args(self.hint)
        hint = hints[place] if len(hints) == self.count else None
        return Symbol(_item(self.argument, place), f"{self.label}[{place}]", hint=hint)

    def __bool__(self) -> bool:  # noqa: PLE0304 - it always raises
        """Refuse: a branch would depend on a value that no run has computed."""
        self._refuse("decides by it. Use `when(condition, step)(...)`, or decide inside a step")

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


def _item(argument: Argument, place: int) -> Argument:
    if argument.kind == "either":
        return Argument(kind="either", items=[_item(one, place) for one in argument.items])
    return Argument(kind="step", name=argument.name, item=place)


class _Tracer:
    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.steps: dict[str, AnyStep] = {}
        self._used: Counter[str] = Counter()
        self._prefix = ""

    def call(self, step: AnyStep, arguments: dict[str, Any]) -> Symbol:
        """Record a call of a step."""
        return self._add(step, arguments)

    def map(self, step: AnyStep, lists: tuple[Any, ...], shared: dict[str, Any]) -> Symbol:
        """Record a call of a step for each item of lists."""
        if not lists:
            raise TraceError(
                f"{step.name}.map() got no list. Pass a list for each parameter that changes from call to call."
            )
        bound = step.bind(lists, shared)
        mapped = tuple(list(bound)[: len(lists)])
        for value in lists:
            self._split(value)
        found = self._add(step, bound, kind="map", mapped=mapped)
        hint = hints_of(step.function).get("return")
        return Symbol(found.argument, found.label, hint=None if hint is None else list[hint])  # type: ignore[valid-type] # a hint of the user

    def branch(
        self,
        condition: object,
        then: AnyStep,
        otherwise: AnyStep | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Symbol:
        """Record a call that runs only where a condition holds, and maybe another where it does not."""
        wanted = _condition(condition)
        first = self._add(then, then.bind(args, kwargs), condition=wanted)
        if otherwise is None:
            return first
        second = self._add(otherwise, otherwise.bind(args, kwargs), condition=wanted, wanted=False)
        return _either([first, second])

    def loop(self, body: AnyStep, start: object, until: AnyStep, at_most: int) -> Symbol:
        """Record the rounds of a loop; each but the first runs only while `until` has not said yes."""
        rounds: list[Symbol] = []
        value, is_over = start, None
        for _ in range(at_most):
            condition = None if is_over is None else is_over.argument
            made = self._add(body, body.bind((value,), {}), condition=condition, wanted=condition is None)
            rounds.append(made)
            is_over = self._add(until, until.bind((made,), {}))
            value = made
        return _either(rounds)

    def ask(self, value: object, request: ApprovalRequest, name: str) -> Symbol:
        """Record a question to a person; the value flows on when the answer is yes."""
        unique = self._name(name)
        argument = to_argument(value, f"{unique}(value=...)")
        hint, count = (value.hint, None) if isinstance(value, Symbol) else (None, None)
        self.nodes[unique] = Node(
            name=unique, step="", arguments={"value": argument}, kind="approval", approval=request
        )
        return Symbol(Argument(kind="step", name=unique), unique, count, hint)

    @contextmanager
    def inside(self, pipeline: str) -> Iterator[None]:
        """Put the name of a pipeline before those of its nodes."""
        before = self._prefix
        self._prefix = f"{before}{pipeline}."
        try:
            yield
        finally:
            self._prefix = before

    def _add(self, step: AnyStep, arguments: dict[str, Any], **fields: Any) -> Symbol:  # noqa: ANN401 - fields of Node
        name = self._name(step.name)
        hints = hints_of(step.function)
        for key, value in arguments.items():
            _refuse_other_type(name, key, value, hints.get(key), is_mapped=key in fields.get("mapped", ()))
        self.nodes[name] = Node(
            name=name,
            step=step.identity,
            arguments={key: to_argument(value, f"{name}({key}=...)") for key, value in arguments.items()},
            outputs=step.output_count,
            options=step.options,
            **fields,
        )
        self.steps[name] = step
        return Symbol(Argument(kind="step", name=name), name, step.output_count, hints.get("return"))

    def _name(self, name: str) -> str:
        full = self._prefix + name
        self._used[full] += 1
        return full if self._used[full] == 1 else f"{full}#{self._used[full]}"

    def _split(self, value: object) -> None:
        """Let the step that makes a list store each item on its own, so that no item waits for the others to be read."""
        if not isinstance(value, Symbol) or value.argument.kind != "step" or value.argument.item is not None:
            return
        node = self.nodes[value.argument.name]
        if node.kind == "step" and node.outputs is None and get_origin(value.hint) is list:
            self.nodes[node.name] = msgspec.structs.replace(node, outputs=LIST)


def _condition(value: object) -> Argument:
    if isinstance(value, Symbol) and not fits(value.hint, bool):
        raise TraceError(
            f"when() decides by {value.label}, which is {show(value.hint)}. Let a step return a bool."
        )
    return to_argument(value, "when(condition)")


def _either(symbols: list[Symbol]) -> Symbol:
    first = symbols[0]
    counts = {symbol.count for symbol in symbols}
    argument = Argument(kind="either", items=[symbol.argument for symbol in symbols])
    is_same = all(symbol.hint == first.hint for symbol in symbols)
    return Symbol(
        argument, first.label, first.count if len(counts) == 1 else None, first.hint if is_same else None
    )


def _refuse_other_type(node: str, parameter: str, value: object, wanted: object, *, is_mapped: bool) -> None:
    """Refuse a value that cannot be what a step's parameter says, before anything runs."""
    if not isinstance(value, Symbol) or wanted is None:
        return
    made = item_of(value.hint) if is_mapped else value.hint
    if is_mapped and value.hint is not None and not fits(value.hint, Iterable):
        raise TraceError(
            f"{node}.map({parameter}=...) needs a list, but {value.label} is {show(value.hint)}."
        )
    if made is not None and not fits(made, wanted):
        raise TraceError(
            f"{node}({parameter}=...) wants {show(wanted)}, but {value.label} is {show(made)}. Change one of the annotations, or "
            "convert the value in a step."
        )


def trace(pipeline: AnyPipeline) -> Traced:
    """Return the graph of a pipeline.

    Raises:
        TraceError: the function branches on, computes with or reads into a value that only a run has.
    """
    hints = hints_of(pipeline.function)
    names = list(inspect.signature(pipeline.function).parameters)
    symbols = {
        name: Symbol(Argument(kind="input", name=name), f"the input {name}", hint=hints.get(name))
        for name in names
    }
    active = _Tracer()
    token = tracer.set(active)
    try:
        result = pipeline.function(**symbols)
    finally:
        tracer.reset(token)
    graph = Graph(
        name=pipeline.name,
        inputs={name: kind_of(hints.get(name)) for name in names},
        nodes=list(active.nodes.values()),
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
    """Return the names of the nodes an argument may take values from."""
    if argument.kind == "step":
        return {argument.name}
    return {name for item in argument.items for name in sources_of(item)}


def upstream_of(node: Node) -> set[str]:
    """Return the names of the nodes that must have ended before this one."""
    taken = [*node.arguments.values(), *([node.condition] if node.condition is not None else [])]
    return {name for argument in taken for name in sources_of(argument)}


def downstream_of(graph: Graph, name: str) -> tuple[str, ...]:
    """Return a node and all that come after it.

    Raises:
        TraceError: the graph has no such node.
    """
    if all(node.name != name for node in graph.nodes):
        known = ", ".join(node.name for node in graph.nodes)
        raise TraceError(f"the pipeline {graph.name} has no step {name}. Its steps are: {known}.")
    found = {name}
    for node in graph.nodes:
        if upstream_of(node) & found:
            found.add(node.name)
    return tuple(node.name for node in graph.nodes if node.name in found)


def draw(graph: Graph) -> str:
    """Return the graph as text, one node a line with what it takes."""
    lines = [f"{graph.name}({', '.join(f'{name}: {kind}' for name, kind in graph.inputs.items())})"]
    for node in graph.nodes:
        taken = ", ".join(
            f"{key}={text_of(argument)}" + " each" * (key in node.mapped)
            for key, argument in node.arguments.items()
        )
        lines.append(f"  {node.name}({taken}){_remark(node)}")
    return "\n".join([*lines, f"  -> {text_of(graph.result)}"])


def _remark(node: Node) -> str:
    if node.approval is not None:
        return f" asks {node.approval.role}: {node.approval.message}"
    if node.condition is None:
        return ""
    return f" {'if' if node.wanted else 'unless'} {text_of(node.condition)}"


def text_of(argument: Argument) -> str:
    """Return where a value comes from in words."""
    if argument.kind in {"step", "input"}:
        return argument.name + (f"[{argument.item}]" if argument.item is not None else "")
    if argument.kind == "either":
        return " or ".join(map(text_of, argument.items))
    if argument.items:
        return "[" + ", ".join(text_of(item) for item in argument.items) + "]"
    return repr(argument.value)
