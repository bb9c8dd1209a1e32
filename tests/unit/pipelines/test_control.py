"""Maps, branches, loops and questions: as plain calls, as graphs, as runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from everloop.data.service import Data
from everloop.pipelines import Pipelines, pipeline, repeat, step, when
from everloop.pipelines.control import InvalidControlError
from everloop.pipelines.graph import TraceError, draw, trace
from everloop.pipelines.steps import InvalidStepError
from everloop.tracking import Tracking

if TYPE_CHECKING:
    from everloop.kernel.operations import Kernel
    from everloop.pipelines.records import PipelineRun


@pytest.fixture
def pipelines(kernel: Kernel) -> Pipelines:
    return Pipelines(kernel, data=Data(kernel), tracking=Tracking(kernel))


def statuses(run: PipelineRun) -> dict[str, str]:
    return {item.node: item.status for item in run.steps}


@step
def numbers(n: int) -> list[int]:
    return list(range(n))


@step
def square(x: int, plus: int = 0) -> int:
    if x < 0:
        raise ValueError(f"{x} is negative")
    return x * x + plus


@step
def total(xs: list[int]) -> int:
    return sum(xs)


@step
def is_large(x: int) -> bool:
    return x > 10


@step
def name_it(x: int) -> str:
    return f"large {x}"


@step
def shrug(x: int) -> str:
    return f"small {x}"


@step
def double(x: int) -> int:
    return 2 * x


@pipeline
def fan(n: int) -> int:
    return total(square.map(numbers(n), plus=1))


def test_a_map_gives_each_item_a_node_and_its_results_a_list(pipelines: Pipelines) -> None:
    assert fan(4) == 0 + 1 + 4 + 9 + 4
    run = pipelines.run(fan, {"n": 4})

    assert pipelines.result(run) == fan(4)
    assert [item.node for item in run.steps] == [
        "numbers", "square", "square[0]", "square[1]", "square[2]", "square[3]", "total",
    ]  # fmt: skip
    assert pipelines.result(pipelines.run(fan, {"n": 0})) == 0


def test_a_longer_list_computes_only_its_new_items(pipelines: Pipelines) -> None:
    pipelines.run(fan, {"n": 3}, cache=True)
    run = pipelines.run(fan, {"n": 5}, cache=True)

    assert [status for name, status in statuses(run).items() if "[" in name] == ["cached"] * 3 + ["done"] * 2
    again = pipelines.run(fan, {"n": 5}, cache=True)
    assert set(statuses(again).values()) == {"cached"}


def test_a_map_goes_over_inputs_constants_and_lists_of_one_length(pipelines: Pipelines) -> None:
    @pipeline
    def flow(xs: list[int]) -> int:
        return total(square.map(xs, [10, 20]))

    assert pipelines.result(pipelines.run(flow, {"xs": [1, 2]})) == 1 + 10 + 4 + 20 == flow([1, 2])
    run = pipelines.run(flow, {"xs": [1, 2, 3]})
    assert (run.status, statuses(run)["total"]) == ("failed", "upstream_failed")
    assert "x has 3, plus has 2" in run.error
    with pytest.raises(InvalidStepError, match="3, 2 items"):
        flow([1, 2, 3])


def test_items_that_fail_fail_the_map_and_the_others_are_done(pipelines: Pipelines) -> None:
    @pipeline
    def flow(xs: list[int]) -> int:
        return total(square.map(xs))

    run = pipelines.run(flow, {"xs": [1, -2, 3]})

    assert statuses(run) == {
        "square": "failed", "square[0]": "done", "square[1]": "failed", "square[2]": "done", "total": "upstream_failed",
    }  # fmt: skip
    assert "square: 1 of 3 items failed" in run.error
    assert "-2 is negative" in run.error


def test_maps_over_maps_and_over_values_of_several_kinds(pipelines: Pipelines) -> None:
    @pipeline
    def flow(n: int) -> list[int]:
        return square.map(double.map(numbers(n)))

    assert pipelines.result(pipelines.run(flow, {"n": 3})) == [0, 4, 16] == flow(3)


@pipeline
def branch(x: int) -> str:
    return when(is_large(x), name_it, shrug)(x)


def test_one_of_two_branches_runs(pipelines: Pipelines) -> None:
    for x, other in ((11, "shrug"), (3, "name_it")):
        run = pipelines.run(branch, {"x": x})
        assert pipelines.result(run) == branch(x)
        assert [name for name, status in statuses(run).items() if status == "skipped"] == [other]


def test_what_takes_a_skipped_value_is_skipped_and_the_run_is_fine(pipelines: Pipelines) -> None:
    @pipeline
    def flow(x: int) -> int:
        return square(when(is_large(x), double)(x))

    run = pipelines.run(flow, {"x": 1})
    assert (run.status, statuses(run)) == (
        "finished",
        {"is_large": "done", "double": "skipped", "square": "skipped"},
    )
    assert pipelines.result(run) is None
    assert pipelines.result(pipelines.run(flow, {"x": 11})) == 484


def test_a_loop_ends_when_it_is_told_or_at_its_bound(pipelines: Pipelines) -> None:
    @pipeline
    def flow(x: int) -> int:
        return repeat(double, x, until=is_large, at_most=5)

    for x in (1, 3, 20, 0):
        run = pipelines.run(flow, {"x": x})
        assert pipelines.result(run) == flow(x)
    assert pipelines.result(pipelines.run(flow, {"x": 3})) == 12
    assert flow(0) == 0
    with pytest.raises(InvalidControlError, match="give a bound"):
        repeat(double, 1, until=is_large, at_most=0)


def test_annotations_that_contradict_are_refused_before_anything_runs(pipelines: Pipelines) -> None:
    @pipeline
    def wrong(n: int) -> int:
        return square(numbers(n))  # type: ignore[arg-type]

    @pipeline
    def unwanted(n: int) -> str:
        return when(numbers(n), name_it)(n)

    @pipeline
    def unlisted(n: int) -> list[int]:
        return square.map(double(n))  # type: ignore[arg-type]

    for flow, message in (
        (wrong, r"square\(x=\.\.\.\) wants int, but numbers is list\[int\]"),
        (unwanted, "decides by numbers, which is list"),
        (unlisted, "needs a list, but double is int"),
    ):
        with pytest.raises(TraceError, match=message):
            pipelines.run(flow, {"n": 1})
    assert pipelines.runs() == []


def test_the_drawing_says_what_is_mapped_and_on_what_it_depends() -> None:
    assert "square(x=numbers each, plus=1)" in draw(trace(fan).graph)
    assert "shrug(x=x) unless is_large" in draw(trace(branch).graph)


def test_a_condition_must_be_a_bool(pipelines: Pipelines) -> None:
    @step
    def vague(x: int):  # type: ignore[no-untyped-def]  # noqa: ANN202
        return x

    @pipeline
    def flow(x: int) -> int:
        return when(vague(x), double)(x)

    run = pipelines.run(flow, {"x": 1})
    assert (run.status, "is a int. Return a bool" in run.error) == ("failed", True)
