"""Durations as people write them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from everloop.core.durations import InvalidDurationError, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("15m", 900), ("6h", 21_600), ("7d", 604_800), ("2w", 1_209_600), ("250ms", 0.25),
     (" 1.5 h ", 5_400), ("0s", 0), (30, 30), (0.5, 0.5), (timedelta(days=1), 86_400)],
)  # fmt: skip
def test_a_duration_is_read(text: str | float | timedelta, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "7", "d", "7 days", "-1d", "1h30m", "1e3s", "nan", "9" * 30 + "d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidDurationError):
        parse_duration(text)


def test_a_number_that_is_no_duration_is_refused() -> None:
    for number in (float("nan"), float("inf"), 1e30):
        with pytest.raises(InvalidDurationError):
            parse_duration(number)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (1, "1s"), (90, "90s"), (120, "2m"), (7_200, "2h"), (172_800, "2d"), (1_209_600, "2w"),
     (0.5, "0.5s"), (0.000001, "0.000001s"), (123_456.789, "123456.789s")],
)  # fmt: skip
def test_a_duration_is_written_in_the_largest_unit_that_fits(seconds: float, text: str) -> None:
    assert format_duration(timedelta(seconds=seconds)) == text
