"""What a pipeline does besides calling steps: map over lists, branch, repeat, ask a person.

Outside a trace each of these just runs, so that a pipeline stays a plain function. Tests: tests/unit/pipelines/test_control.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, ParamSpec, TypeVar, cast

from everloop.core.durations import parse_duration
from everloop.core.errors import InvalidInputError
from everloop.pipelines.records import ApprovalRequest
from everloop.pipelines.steps import Step, tracer

if TYPE_CHECKING:
    from datetime import timedelta

P = ParamSpec("P")
R = TypeVar("R")
V = TypeVar("V")

# More rounds than this are a mistake: each is a node of the graph.
_MOST_ROUNDS = 1_000


class InvalidControlError(InvalidInputError):
    """A branch, a loop or a question is written in a way that cannot run."""

    code = "pipelines.invalid-control"


class Branch(Generic[P, R]):
    """A step that runs only where a condition holds; made by `when`."""

    def __init__(self, condition: object, then: Step[P, R], otherwise: Step[P, R] | None) -> None:
        self._condition = condition
        self._then = then
        self._otherwise = otherwise

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the step, or the other one, or give None; in a trace record both."""
        active = tracer.get()
        if active is not None:
            found = active.branch(self._condition, self._then, self._otherwise, args, kwargs)
            return cast("R", found)
        if self._condition:
            return self._then(*args, **kwargs)
        return cast("R", None) if self._otherwise is None else self._otherwise(*args, **kwargs)


def when(condition: object, then: Step[P, R], otherwise: Step[P, R] | None = None) -> Branch[P, R]:
    """Call a step only where a condition holds: `when(is_better(a, b), publish)(model)`.

    A step that was skipped has no result: steps that take it are skipped too. With `otherwise` one of both runs, and the result is its.

    Args:
        condition: a bool that a step or an input gives.
        then: the step to run where it is true.
        otherwise: the step to run where it is not, with the same arguments.
    """
    for one in (then, otherwise):
        if one is not None and not isinstance(one, Step):
            raise InvalidControlError(
                f"when(condition, step) needs a step, not {one!r}. Decorate the function with @step, and call the result of `when`."
            )
    return Branch(condition, then, otherwise)


def repeat(body: Step[..., V], start: V, *, until: Step[..., bool], at_most: int) -> V:
    """Return `body(body(... start))`, until a step says it is enough, at most so many rounds.

    Args:
        body: takes a value and returns the next one.
        start: the first value.
        until: takes a value and says whether it is the last one.
        at_most: how often `body` runs at most; each round is a node of the graph.
    """
    if not 1 <= at_most <= _MOST_ROUNDS:
        raise InvalidControlError(
            f"repeat(at_most={at_most}): give a bound from 1 to {_MOST_ROUNDS:,}; a loop without one could run for ever."
        )
    active = tracer.get()
    if active is not None:
        return cast("V", active.loop(body, start, until, at_most))
    value = start
    for _ in range(at_most):
        value = body(value)
        if until(value):
            break
    return value


def approve(
    value: V,
    message: str,
    *,
    role: str = "approver",
    timeout: str | float | timedelta | None = None,
    name: str = "approve",
) -> V:
    """Return the value once a person has approved it: `register(approve(model, "Register this model?"))`.

    The run waits without taking a worker. A refusal, or no answer in time, fails the node, and what needs the value does not run.
    Outside a run the value is returned as it is.

    Args:
        value: what flows on.
        message: the question.
        role: whoever has it, or is admin, may answer.
        timeout: `"3d"`; without an answer for so long it counts as refused.
        name: of the node.
    """
    active = tracer.get()
    if active is None:
        return value
    seconds = None if timeout is None else parse_duration(timeout).total_seconds()
    request = ApprovalRequest(message=message, role=role, timeout_s=seconds)
    return cast("V", active.ask(value, request, name))
