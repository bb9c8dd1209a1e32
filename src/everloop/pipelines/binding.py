"""Arguments of a run's nodes by reference: where each value lies, from the inputs of the run and the results of other nodes.

Tests: tests/unit/pipelines/test_control.py, tests/unit/pipelines/test_debugging.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from everloop.core.errors import InvalidInputError
from everloop.pipelines import artifacts
from everloop.pipelines.attempts import read_binding
from everloop.pipelines.executors.protocol import Binding
from everloop.pipelines.inputs import File
from everloop.pipelines.records import LIST

if TYPE_CHECKING:
    from collections.abc import Mapping

    from everloop.pipelines.codecs.protocol import Store
    from everloop.pipelines.plan import Plan
    from everloop.pipelines.records import Argument, Artifact, Node


class UnequalListsError(InvalidInputError):
    """A map goes over lists of different lengths, or over what is no list."""

    code = "pipelines.unequal-lists"


class Binder:
    """Finds the values that nodes take.

    Args:
        plan: which nodes have a result.
        inputs: of the run.
        outputs: of its nodes, shared with the engine that adds to them.
        store: of artifacts.
    """

    def __init__(
        self, plan: Plan, inputs: Mapping[str, Artifact], outputs: dict[str, list[Artifact]], store: Store
    ) -> None:
        self._plan, self._inputs, self._outputs, self._store = plan, inputs, outputs, store

    def arguments(self, node: Node) -> dict[str, Binding]:
        """Return the arguments of a node of the graph by parameter name."""
        return {name: self.bind(argument) for name, argument in node.arguments.items()}

    def items(self, node: Node) -> list[dict[str, Binding]]:
        """Return the arguments of each item of a map.

        Raises:
            UnequalListsError: as named.
        """
        bindings = self.arguments(node)
        lists = {name: self._items(node, name, bindings[name]) for name in node.mapped}
        if len({len(items) for items in lists.values()}) > 1:
            sizes = ", ".join(f"{name} has {len(items)}" for name, items in lists.items())
            raise UnequalListsError(f"{node.name}.map() goes over lists of one length, but {sizes}.")
        return [
            bindings | dict(zip(lists, items, strict=True)) for items in zip(*lists.values(), strict=True)
        ]

    def result(self, result: Argument) -> list[Artifact]:
        """Return the artifacts of a pipeline's result, one for each item of a tuple; None stands for what was skipped."""
        arguments = result.items if result.kind == "tuple" else [result]
        found: list[Artifact] = []
        for argument in arguments:
            binding = self.bind(argument) if self._plan.is_there(argument) else None
            if binding is not None and binding.artifact is not None:
                found.append(binding.artifact)
                continue
            value = None if binding is None else read_binding(binding, self._store)
            found.append(artifacts.dump(value, self._store, where="the result"))
        return found

    def bind(self, argument: Argument) -> Binding:
        """Return an argument with its values by reference."""
        match argument.kind:
            case "input":
                return Binding(kind="artifact", artifact=self._inputs[argument.name])
            case "step":
                return self._bind_result(self._plan.nodes[argument.name], argument.item)
            case "either":
                chosen = self._plan.chosen(argument)
                if chosen is None:
                    raise AssertionError("a node starts only when what it takes is there")
                return self.bind(chosen)
            case "value" | "file":
                value = File(argument.value) if argument.kind == "file" else argument.value
                artifact = artifacts.dump(value, self._store, where="a constant")
                return Binding(kind="artifact", artifact=artifact)
            case kind:
                items = [self.bind(item) for item in argument.items]
                return Binding(kind=kind, items=items, keys=argument.keys if kind == "dict" else [])

    def _bind_result(self, node: Node, item: int | None) -> Binding:
        if node.kind == "approval":
            return self.bind(node.arguments["value"])
        if node.kind == "map":
            return Binding(
                kind="list", items=[self._bind_outputs(one, node) for one in self._plan.items[node.name]]
            )
        if item is not None:
            return Binding(kind="artifact", artifact=self._outputs[node.name][item])
        return self._bind_outputs(node.name, node)

    def _bind_outputs(self, name: str, node: Node) -> Binding:
        outputs = self._outputs.get(name, [])
        if node.outputs is None:
            return Binding(kind="artifact", artifact=outputs[0])
        items = [Binding(kind="artifact", artifact=artifact) for artifact in outputs]
        return Binding(kind="list" if node.outputs == LIST else "tuple", items=items)

    def _items(self, node: Node, name: str, binding: Binding) -> list[Binding]:
        if binding.kind in {"list", "tuple"}:
            return binding.items
        value = read_binding(binding, self._store)
        if not isinstance(value, list | tuple):
            raise UnequalListsError(
                f"{node.name}.map() goes over {name}, which is a {type(value).__name__}. Return a list."
            )
        where = f"an item of {name} of {node.name}"
        return [
            Binding(kind="artifact", artifact=artifacts.dump(item, self._store, where=where))
            for item in value
        ]
