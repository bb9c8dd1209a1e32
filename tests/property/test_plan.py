"""Any graph, with any ends of its steps, is walked whole: each node once, after what it needs, and in the same way each time."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.pipelines.plan import ENDED, HAS_RESULT, Plan
from everloop.pipelines.records import Argument, Node, StepOptions

if TYPE_CHECKING:
    from everloop.pipelines.plan import Move
    from everloop.pipelines.records import StepStatus

ENDS: dict[str, StepStatus] = {"skip": "skipped", "fail": "upstream_failed"}


@st.composite
def graphs(draw: st.DrawFn) -> list[Node]:
    """Draw nodes in an order in which they can run, each with any of the earlier ones as its inputs."""
    nodes: list[Node] = []
    for at in range(draw(st.integers(1, 12))):
        earlier = draw(st.lists(st.sampled_from(range(at)), unique=True, max_size=4)) if at else []
        sources = [Argument(kind="step", name=f"n{one}") for one in earlier]
        if len(sources) > 1 and draw(st.booleans()):
            sources = [Argument(kind="either", items=sources)]
        options = StepOptions(priority=draw(st.integers(-2, 2)))
        arguments = {f"a{place}": one for place, one in enumerate(sources)}
        nodes.append(Node(name=f"n{at}", step="m:f", arguments=arguments, options=options))
    return nodes


def needed(node: Node) -> set[str]:
    """Return the names of the nodes whose values a node takes, straight from its arguments."""
    return {
        one.name
        for argument in node.arguments.values()
        for one in ([argument, *argument.items])
        if one.kind == "step"
    }


def walk(plan: Plan, ends: list[StepStatus], seed: int) -> list[tuple[str, Move]]:
    """Run a plan with several steps open at a time, each ending as drawn; return what it started."""
    chance = random.Random(seed)  # noqa: S311 - order only
    started: list[tuple[str, Move]] = []
    running: list[str] = []
    while not plan.is_over:
        while len(running) < 3 and (one := plan.next()) is not None:
            node, move = one
            assert all(plan.status[name] in ENDED for name in needed(node)), f"{node.name} started too early"
            started.append((node.name, move))
            if move == "try":
                plan.mark(node.name, "running")
                running.append(node.name)
            else:
                plan.mark(node.name, ENDS[move])
        if running:
            name = running.pop(chance.randrange(len(running)))
            plan.mark(name, ends[int(name[1:])])
        else:
            assert plan.is_over, "nothing runs, nothing may start, and the graph is not over"
    return started


all_ends = st.lists(st.sampled_from(["done", "cached", "skipped", "failed"]), min_size=12, max_size=12)


@settings(max_examples=200)
@given(graphs(), all_ends, st.integers(0, 2**16))
def test_a_graph_is_walked_whole_each_node_once_after_what_it_needs(
    nodes: list[Node], ends: list[StepStatus], seed: int
) -> None:
    plan = Plan(nodes, {})
    started = walk(plan, ends, seed)
    assert sorted(name for name, _ in started) == sorted(node.name for node in nodes)
    assert plan.next() is None
    for node in nodes:
        if any(plan.status[name] in {"failed", "upstream_failed", "cancelled"} for name in needed(node)):
            assert plan.status[node.name] == "upstream_failed"


@settings(max_examples=200)
@given(graphs(), all_ends, st.integers(0, 2**16))
def test_an_execution_that_goes_on_starts_only_what_has_no_result(
    nodes: list[Node], ends: list[StepStatus], seed: int
) -> None:
    first = Plan(nodes, {})
    walk(first, ends, seed)
    kept = {name for name, status in first.status.items() if status in HAS_RESULT}
    again = Plan(nodes, first.status)
    started = {name for name, _ in walk(again, ["done"] * 12, seed)}
    assert started == {node.name for node in nodes} - kept
    assert set(again.status.values()) <= HAS_RESULT


@settings(max_examples=100)
@given(graphs(), all_ends, st.integers(0, 2**16))
def test_the_same_ends_give_the_same_walk(nodes: list[Node], ends: list[StepStatus], seed: int) -> None:
    assert walk(Plan(nodes, {}), ends, seed) == walk(Plan(nodes, {}), ends, seed)
