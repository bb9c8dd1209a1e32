"""Which node starts next, and what a large graph costs."""

from __future__ import annotations

from everloop.pipelines.plan import Plan
from everloop.pipelines.records import Argument, Node, StepOptions


def node(name: str, *upstream: str, priority: int = 0, **fields: object) -> Node:
    arguments = {f"a{at}": Argument(kind="step", name=one) for at, one in enumerate(upstream)}
    return Node(name=name, step="m:f", arguments=arguments, options=StepOptions(priority=priority), **fields)  # type: ignore[arg-type]


def started(plan: Plan) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    while (one := plan.next()) is not None:
        found.append((one[0].name, one[1]))
    return found


def test_nodes_start_in_order_once_what_they_need_is_done() -> None:
    plan = Plan([node("a"), node("b"), node("c", "a", "b")], {})
    assert started(plan) == [("a", "try"), ("b", "try")]
    plan.mark("a", "done")
    assert started(plan) == []
    plan.mark("b", "cached")
    assert started(plan) == [("c", "try")]
    plan.mark("c", "done")
    assert plan.is_over


def test_a_higher_priority_goes_first() -> None:
    plan = Plan([node("a"), node("b", priority=5), node("c")], {})
    assert [name for name, _ in started(plan)] == ["b", "a", "c"]


def test_a_failure_ends_what_needs_it_and_nothing_else() -> None:
    plan = Plan([node("a"), node("b", "a"), node("c", "b"), node("d")], {})
    assert [name for name, _ in started(plan)] == ["a", "d"]
    plan.mark("a", "failed")
    assert started(plan) == [("b", "fail")]
    plan.mark("b", "upstream_failed")
    assert started(plan) == [("c", "fail")]


def test_what_takes_a_skipped_value_is_skipped_unless_there_is_another() -> None:
    either = Argument(kind="either", items=[Argument(kind="step", name="a"), Argument(kind="step", name="b")])
    chooser = Node(name="e", step="m:f", arguments={"x": either})
    plan = Plan([node("a"), node("b"), node("c", "a"), chooser], {})
    started(plan)
    plan.mark("a", "skipped")
    assert started(plan) == [("c", "skip")]
    plan.mark("b", "done")
    assert started(plan) == [("e", "try")]
    assert plan.chosen(either) == either.items[1]


def test_a_map_waits_for_its_items() -> None:
    plan = Plan([node("a"), node("m", "a", kind="map"), node("c", "m")], {"a": "done"})
    assert started(plan) == [("m", "try")]
    plan.mark("m", "running")
    assert plan.expand("m", [node("m[0]"), node("m[1]"), node("m[2]")], {"m[1]": "cached"}) == [
        "m[0]",
        "m[2]",
    ]
    assert [name for name, _ in started(plan)] == ["m[0]", "m[2]"]
    plan.mark("m[0]", "done")
    plan.mark("m[2]", "done")
    assert not plan.has_open_items("m")
    plan.mark("m", "done")
    assert started(plan) == [("c", "try")]


def test_each_node_of_a_wide_and_deep_graph_is_offered_once() -> None:
    nodes = [node("start")]
    for layer in range(100):
        before = "start" if not layer else f"join{layer - 1}"
        nodes += [node(f"n{layer}.{at}", before) for at in range(20)]
        nodes.append(node(f"join{layer}", *(f"n{layer}.{at}" for at in range(20))))
    plan, seen = Plan(nodes, {}), []
    while not plan.is_over:
        for name, move in started(plan):
            assert move == "try"
            seen.append(name)
            plan.mark(name, "done")
    assert sorted(seen) == sorted(one.name for one in nodes)
