"""Which step of a run may start next: the states of its nodes, in memory, without I/O.

Each change costs time in the number of nodes that wait for it, so a graph of 10,000 nodes is walked once. A map adds its items as
nodes when its list is known. Tests: tests/unit/pipelines/test_plan.py, tests/property/test_plan.py.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Literal

from everloop.pipelines.graph import sources_of, upstream_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from everloop.pipelines.records import Argument, Node, StepRun, StepStatus

Move = Literal["try", "skip", "fail"]

ENDED: frozenset[str] = frozenset({"done", "cached", "skipped", "failed", "upstream_failed", "cancelled"})
HAS_RESULT: frozenset[str] = frozenset({"done", "cached"})
_FAILED: frozenset[str] = frozenset({"failed", "upstream_failed", "cancelled"})


class Plan:
    """The nodes of a run and how they stand.

    Args:
        nodes: in an order in which they can run.
        known: states of an earlier execution: only nodes with a result keep theirs.
    """

    def __init__(self, nodes: Sequence[Node], known: Mapping[str, StepStatus]) -> None:
        self.nodes: dict[str, Node] = {node.name: node for node in nodes}
        self.status: dict[str, StepStatus] = {}
        self.parent: dict[str, str] = {}
        self.items: dict[str, list[str]] = {}
        self._position = {node.name: (place, 0) for place, node in enumerate(nodes)}
        self._waits_for: dict[str, int] = {}
        self._needed_by: dict[str, list[str]] = {}
        self._open_items: dict[str, int] = {}
        self._ready: list[tuple[int, int, int, str]] = []
        self._open = 0
        for node in nodes:
            self._enter(node, known.get(node.name, "pending"), upstream_of(node))
        for node in nodes:
            if self._waits_for[node.name] == 0 and self.status[node.name] == "pending":
                self.offer(node.name)

    @property
    def is_over(self) -> bool:
        """Say whether every node has ended."""
        return self._open == 0

    @property
    def has_ready(self) -> bool:
        """Say whether a node could start now."""
        return bool(self._ready)

    def next(self) -> tuple[Node, Move] | None:
        """Return the node that starts next, of the highest priority, and what to do with it."""
        while self._ready:
            name = heapq.heappop(self._ready)[-1]
            if self.status[name] == "pending":
                node = self.nodes[name]
                return node, self._move(node)
        return None

    def offer(self, name: str) -> None:
        """Let a node be returned by `next` (again)."""
        node = self.nodes[name]
        place, item = self._position[name]
        heapq.heappush(self._ready, (-node.options.priority, place, item, name))

    def mark(self, name: str, status: StepStatus) -> None:
        """Change the state of a node; those that waited for it may become ready."""
        was = self.status[name]
        self.status[name] = status
        if status not in ENDED or was in ENDED:
            return
        self._open -= 1
        if name in self.parent:
            self._open_items[self.parent[name]] -= 1
        for other in self._needed_by.get(name, ()):
            self._waits_for[other] -= 1
            if self._waits_for[other] == 0 and self.status[other] == "pending":
                self.offer(other)

    def expand(self, name: str, items: Iterable[Node], known: Mapping[str, StepStatus]) -> list[str]:
        """Add the items of a map as nodes; return those that have no result yet."""
        fresh = []
        self.items[name] = []
        self._open_items[name] = 0
        for number, node in enumerate(items):
            self.parent[node.name] = name
            self._position[node.name] = self._position[name][0], number
            self.items[name].append(node.name)
            status = known.get(node.name, "pending")
            self._enter(node, status, set())
            if self.status[node.name] not in ENDED:
                self._open_items[name] += 1
                fresh.append(node.name)
                self.offer(node.name)
        return fresh

    def restore_items(self, steps: Iterable[StepRun]) -> None:
        """Know the items of maps that were done in an earlier execution."""
        for step in steps:
            name = step.node.rpartition("[")[0]
            if step.item and self.status.get(name) in HAS_RESULT:
                self.items.setdefault(name, []).append(step.node)

    def has_open_items(self, name: str) -> bool:
        """Say whether items of a map have not ended."""
        return self._open_items[name] > 0

    def chosen(self, argument: Argument) -> Argument | None:
        """Return the last item of an `either` whose step has a result; None when all were skipped."""
        for one in reversed(argument.items):
            if all(self.status[name] in HAS_RESULT for name in sources_of(one)):
                return one
        return None

    def _enter(self, node: Node, status: StepStatus, upstream: set[str]) -> None:
        status = status if status in HAS_RESULT else "pending"
        self.nodes[node.name], self.status[node.name] = node, status
        waits = [name for name in upstream if self.status.get(name) not in ENDED]
        self._waits_for[node.name] = len(waits)
        for name in waits:
            self._needed_by.setdefault(name, []).append(node.name)
        self._open += status not in ENDED

    def _move(self, node: Node) -> Move:
        if node.name in self.parent:
            return "try"
        if any(self.status[name] in _FAILED for name in upstream_of(node)):
            return "fail"
        taken = [*node.arguments.values(), *([node.condition] if node.condition is not None else [])]
        return "try" if all(self.is_there(argument) for argument in taken) else "skip"

    def is_there(self, argument: Argument) -> bool:
        """Say whether a value has been made, once what it comes from has ended."""
        if argument.kind == "either":
            return self.chosen(argument) is not None
        if argument.kind == "step":
            return self.status[argument.name] in HAS_RESULT
        return all(self.is_there(item) for item in argument.items)
