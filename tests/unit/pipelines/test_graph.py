"""A pipeline's function becomes a graph, or an error that names the way out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from everloop.pipelines import File, pipeline, step
from everloop.pipelines.graph import TraceError, draw, trace, upstream_of

if TYPE_CHECKING:
    from collections.abc import Callable


@step
def one() -> int:
    return 1


@step
def pair(x: int) -> tuple[int, str]:
    return x, str(x)


@step
def total(xs: list[int], names: dict[str, int] | None = None) -> int:
    return sum(xs) + sum((names or {}).values())


@step
def read(file: File) -> str:
    return file.read_text()


def test_a_step_used_twice_makes_two_nodes() -> None:
    @pipeline
    def flow() -> int:
        return total([one(), one()])

    graph = trace(flow).graph

    assert [node.name for node in graph.nodes] == ["one", "one#2", "total"]
    assert upstream_of(graph.nodes[2]) == {"one", "one#2"}


def test_symbols_travel_inside_lists_and_dicts() -> None:
    @pipeline
    def flow(x: int) -> int:
        return total([x, 2], names={"a": one()})

    node = trace(flow).graph.nodes[-1]

    assert [item.kind for item in node.arguments["xs"].items] == ["input", "value"]
    assert (node.arguments["names"].keys, upstream_of(node)) == (["a"], {"one"})


def test_a_declared_tuple_can_be_unpacked_and_indexed_from_its_end() -> None:
    @pipeline
    def flow(x: int) -> Any:
        made = pair(x)
        number, _ = made
        return total([number]), made[-1]

    result = trace(flow).graph.result

    assert (result.kind, result.items[1].name, result.items[1].item) == ("tuple", "pair", 1)


def test_defaults_of_a_step_are_constants_of_the_graph_and_a_file_is_one_by_its_path() -> None:
    @pipeline
    def flow() -> Any:
        return total([1]), read(File("rows.csv"))

    first, second = trace(flow).graph.nodes

    assert first.arguments["names"].kind == "value"
    assert (second.arguments["file"].kind, second.arguments["file"].value) == ("file", "rows.csv")


def test_a_pipeline_inside_a_pipeline_joins_its_graph() -> None:
    @pipeline
    def inner(x: int) -> int:
        return total([x])

    @pipeline
    def outer() -> int:
        return inner(one())

    assert [node.name for node in trace(outer).graph.nodes] == ["one", "inner.total"]


@pytest.mark.parametrize(
    ("use", "reason"),
    [
        (lambda value: value + 1, "computes with it"),
        (lambda value: 1 if value else 0, "decides by it"),
        (lambda value: value.columns, "reads .columns of it"),
        (lambda value: [*value], "unpacks it"),
        (lambda value: value["a"], "takes an item of it"),
        (lambda value: value > 3, "computes with it"),
    ],
)
def test_a_use_of_a_value_that_no_run_has_yet_is_refused(use: Callable[[Any], Any], reason: str) -> None:
    @pipeline
    def flow() -> Any:
        return total([use(one())])

    with pytest.raises(TraceError, match=reason):
        trace(flow)


def test_a_constant_without_a_plain_form_is_refused_with_its_place() -> None:
    things: list[Any] = [object()]

    @pipeline
    def flow() -> int:
        return total(things)

    with pytest.raises(TraceError, match=r"total\(xs=...\) gets a object"):
        trace(flow)


def test_a_trace_that_failed_leaves_steps_plain_functions() -> None:
    @pipeline
    def flow() -> Any:
        return one() + 1

    with pytest.raises(TraceError):
        trace(flow)

    assert one() == 1


def test_a_drawing_names_what_each_node_takes() -> None:
    @pipeline
    def flow(x: int) -> int:
        number, _ = pair(x)
        return total([number, 3])

    assert draw(trace(flow).graph).splitlines() == [
        "flow(x: value)",
        "  pair(x=x)",
        "  total(xs=[pair[0], 3], names=None)",
        "  -> total",
    ]
