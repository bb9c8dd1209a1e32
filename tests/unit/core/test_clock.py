"""Clocks tell aware time and never run backwards."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from everloop.core.clock import ManualClock, SystemClock, from_microseconds, to_microseconds

START = datetime(2013, 2, 1, tzinfo=UTC)


def test_the_clock_of_the_machine_is_aware_and_goes_on() -> None:
    first, second = SystemClock().now(), SystemClock().now()

    assert first.utcoffset() == timedelta(0)
    assert first <= second


def test_a_manual_clock_stands_until_it_is_moved() -> None:
    clock = ManualClock(START)

    clock.advance(90)

    assert clock.now() == START + timedelta(seconds=90)
    with pytest.raises(ValueError, match="never runs backwards"):
        clock.move_to(START)
    assert clock.now() == START + timedelta(seconds=90)


@pytest.mark.parametrize("value", [0, 1, -1, 1_359_676_800_000_001])
def test_microseconds_read_back(value: int) -> None:
    assert to_microseconds(from_microseconds(value)) == value


def test_microseconds_do_not_depend_on_the_zone() -> None:
    from zoneinfo import ZoneInfo

    assert to_microseconds(START.astimezone(ZoneInfo("America/New_York"))) == to_microseconds(START)
