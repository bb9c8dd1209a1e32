"""Steps and pipelines stay plain functions; their options are read once, in words a person writes."""

from __future__ import annotations

import inspect
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from everloop.core.errors import EverloopError
from everloop.pipelines import Pipeline, Step, pipeline, step
from everloop.pipelines.steps import InvalidStepError, hints_of

if TYPE_CHECKING:
    from nowhere import Frame  # type: ignore[import-not-found] # an annotation that cannot be resolved


def double(x: int, *, by: int = 2) -> int:
    """Multiply."""
    return x * by


def test_a_step_keeps_name_doc_signature_and_result_of_its_function() -> None:
    made = step(double)

    assert (made(4), made(4, by=3)) == (8, 12)
    assert (made.name, made.__doc__, inspect.signature(made)) == (
        "double",
        "Multiply.",
        inspect.signature(double),
    )


def test_options_read_durations_in_words() -> None:
    made = step(retries=2, backoff="250ms", timeout="10m", ttl=timedelta(days=7), on=("HOME",))(double)

    assert (made.options.backoff_s, made.options.timeout_s, made.options.ttl_s) == (0.25, 600.0, 604_800.0)
    assert (made.options.retries, made.options.on) == (2, ("HOME",))


def test_other_options_make_another_step_and_leave_the_first() -> None:
    first = step(retries=1)(double)

    second = first.with_(timeout=5, name="twice")

    assert (first.options.timeout_s, first.name) == (None, "double")
    assert (second.options.retries, second.options.timeout_s, second.name) == (1, 5.0, "twice")


def test_an_unknown_option_is_refused_with_the_known_ones() -> None:
    options: dict[str, Any] = {"gpu": 1}

    with pytest.raises(InvalidStepError, match="no option 'gpu'. It knows backoff"):
        step(**options)(double)


def test_a_duration_that_is_none_is_refused() -> None:
    with pytest.raises(EverloopError, match="soon"):
        step(timeout="soon")(double)


async def later() -> int:
    return 1


@pytest.mark.parametrize("thing", [later, int, "double", len])
def test_only_a_plain_function_can_be_a_step(thing: Any) -> None:
    with pytest.raises(InvalidStepError, match="decorate a plain `def` function"):
        step(thing)


def test_decorating_twice_wraps_once() -> None:
    assert step(step(double)).function is double
    assert Pipeline(Pipeline(double)).function is double


def test_a_declared_tuple_counts_its_values_and_an_open_one_is_one_value() -> None:
    def two() -> tuple[int, str]:
        return 1, ""

    def many() -> tuple[int, ...]:
        return ()

    assert [made.output_count for made in (step(double), step(two), step(many))] == [None, 2, None]


def test_annotations_that_cannot_be_resolved_are_left_out() -> None:
    def mixed(rows: Frame, x: int) -> None:
        del rows, x

    assert "rows" not in hints_of(mixed)  # type: ignore[arg-type] # a function, as mypy cannot know


def test_a_pipeline_may_have_a_name_of_its_own() -> None:
    made = pipeline(name="train-delays")(double)

    assert (made.name, made(3), isinstance(made, Pipeline), isinstance(step(double), Step)) == (
        "train-delays",
        6,
        True,
        True,
    )
