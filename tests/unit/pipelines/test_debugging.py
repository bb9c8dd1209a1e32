"""A step can be called again as it was called in a run, with the code of then."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from everloop.pipelines.debugging import NoSuchStepError, NotStartedError

if TYPE_CHECKING:
    from tests.unit.pipelines.conftest import Project

    from everloop.pipelines import Pipelines

FLOW = """
from everloop.pipelines import pipeline, step

@step
def make(n: int) -> list[int]:
    return list(range(n))

@step
def invert(x: int, scale: int) -> float:
    return scale / x

@step
def total(xs: list[float]) -> float:
    return sum(xs)

@pipeline
def flow(n: int) -> float:
    return total(invert.map(make(n), scale=10))
"""


def test_the_call_of_a_failed_item_is_given_back(pipelines: Pipelines, project: Project) -> None:
    project.write(flow=FLOW)
    run = pipelines.run(project.flow().flow, {"n": 3})
    assert run.status == "failed"
    project.write(flow=FLOW.replace("scale / x", "0"))

    with pipelines.reopened(run.id, "invert[0]") as call:
        assert call.arguments == {"x": 0, "scale": 10}
        with pytest.raises(ZeroDivisionError):
            call.function(**call.arguments)
    with pipelines.reopened(run.id, "make") as call:
        assert call.function(**call.arguments) == [0, 1, 2]


@pytest.mark.parametrize(
    ("node", "error", "message"),
    [
        ("total", NotStartedError, "invert has no result"),
        ("nothing", NoSuchStepError, "Its steps are: make, invert, total"),
        ("invert", NoSuchStepError, r"name one, invert\[0\]"),
        ("invert[7]", NoSuchStepError, "3 items"),
    ],
)
def test_what_was_never_called_says_why(
    pipelines: Pipelines, project: Project, node: str, error: type[Exception], message: str
) -> None:
    project.write(flow=FLOW)
    run = pipelines.run(project.flow().flow, {"n": 3})

    with pytest.raises(error, match=message), pipelines.reopened(run.id, node):
        pass
