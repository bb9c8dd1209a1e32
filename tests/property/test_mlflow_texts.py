"""Params of MLflow come back as they were sent, whatever we keep them as."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from everloop.kernel.catalog.schema import Json
from everloop.mlflow_api.texts import number_of, text_of
from everloop.tracking.plain import plain_of

NUMBERS = st.one_of(st.floats(), st.integers(), st.decimals()).map(str)


@given(st.one_of(st.text(), NUMBERS, st.from_regex(r"-?[0-9.e+_ -]{1,12}", fullmatch=True)))
@example("007")
@example("-0")
@example("1e5")
@example("1e-05")
@example("0.10")
@example("1_000")
@example("٣")
@example("nan")
@example("9" * 40)
def test_a_param_comes_back_as_it_was_sent(text: str) -> None:
    kind = Json(str | int | float | bool | None)
    kept = kind.process_bind_param(plain_of(text), None)  # type: ignore[arg-type] # the dialect is not looked at
    back = kind.process_result_value(kept, None)  # type: ignore[arg-type]

    assert text_of(back) == text


def test_what_is_written_like_a_number_is_kept_as_one() -> None:
    assert [plain_of(text) for text in ("3", "-12", "0", "0.01", "1e-05", "2.0")] == [
        3,
        -12,
        0,
        0.01,
        1e-05,
        2.0,
    ]
    assert [plain_of(text) for text in ("03", "0.010", "1e5", "inf", "")] == ["03", "0.010", "1e5", "inf", ""]


def test_numbers_that_are_not_finite_travel_as_texts() -> None:
    values = [1.5, float("nan"), float("inf"), float("-inf")]
    assert [number_of(value) for value in values] == [1.5, "NaN", "Infinity", "-Infinity"]
