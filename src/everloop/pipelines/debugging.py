"""A step of a run as it was called: its function from the run's own code, its arguments from the store.

Tests: tests/unit/pipelines/test_debugging.py.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from everloop.core.errors import ConflictError, NotFoundError
from everloop.pipelines.attempts import read_binding
from everloop.pipelines.binding import Binder
from everloop.pipelines.bundles import NotImportableError
from everloop.pipelines.graph import trace, upstream_of
from everloop.pipelines.plan import HAS_RESULT, Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from everloop.pipelines.codecs.protocol import Store
    from everloop.pipelines.execution import Execution
    from everloop.pipelines.executors.protocol import Binding
    from everloop.pipelines.graph import Traced
    from everloop.pipelines.records import PipelineRun


class NoSuchStepError(NotFoundError):
    """A run has no step of this name that calls a function."""

    code = "pipelines.no-such-step"


class NotStartedError(ConflictError):
    """A step never had its arguments, because what it needs has no result."""

    code = "pipelines.not-started"


class Call(NamedTuple):
    """A step's function and the arguments it was called with."""

    function: Callable[..., Any]
    arguments: dict[str, Any]


@contextmanager
def reopened(execution: Execution, run: PipelineRun, node: str, store: Store) -> Iterator[Call]:
    """Give the call of a step for the length of the block, in which the run's own code is imported.

    Args:
        execution: loads code.
        run: with its steps.
        node: a step, or an item of a map, `score[3]`.
        store: of artifacts.

    Raises:
        NotImportableError: the code of the run was never stored.
        NoSuchStepError, NotStartedError: as named.
    """
    if run.bundle is None:
        raise NotImportableError(
            f"run {run.id} cannot be looked into: its pipeline {run.entry} cannot be imported by another process.",
            subject=f"run:{run.id}",
        )
    with execution.code(run.bundle) as pipeline:
        traced = trace(pipeline)
        plan = Plan(traced.graph.nodes, {step.node: step.status for step in run.steps})
        plan.restore_items(run.steps)
        outputs = {step.node: step.outputs for step in run.steps if step.outputs}
        bindings = _bindings(traced, plan, Binder(plan, run.inputs, outputs, store), run, node)
        arguments = {name: read_binding(binding, store) for name, binding in bindings.items()}
        yield Call(traced.steps[_map_of(traced, node) or node].function, arguments)


def _bindings(traced: Traced, plan: Plan, binder: Binder, run: PipelineRun, node: str) -> dict[str, Binding]:
    name = _map_of(traced, node) or node
    if name not in traced.steps or name not in plan.nodes:
        known = ", ".join(traced.steps)
        raise NoSuchStepError(
            f"run {run.id} has no step {node}. Its steps are: {known}.", subject=f"run:{run.id}"
        )
    missing = sorted(one for one in upstream_of(plan.nodes[name]) if plan.status[one] not in HAS_RESULT)
    if missing:
        raise NotStartedError(
            f"{node} of run {run.id} was never called: {', '.join(missing)} has no result. Look into that one.",
            subject=f"run:{run.id}",
        )
    if plan.nodes[name].kind != "map":
        return binder.arguments(plan.nodes[name])
    items = binder.items(plan.nodes[name])
    number = int(node.removeprefix(f"{name}[").removesuffix("]")) if node != name else -1
    if not 0 <= number < len(items):
        raise NoSuchStepError(
            f"{name} of run {run.id} is called for {len(items):,} items; name one, {name}[0].",
            subject=f"run:{run.id}",
        )
    return items[number]


def _map_of(traced: Traced, node: str) -> str:
    """Return the map that an item belongs to, else nothing."""
    name, bracket, rest = node.rpartition("[")
    return name if bracket and rest.removesuffix("]").isdecimal() and name in traced.steps else ""
