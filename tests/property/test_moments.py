"""Laws of ticks: for any cron expression and zone they ascend strictly and do not depend on when one looks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from everloop.pipelines.moments import InvalidScheduleError, check_cron, cron_moments

YEAR = datetime(2026, 1, 1, tzinfo=UTC)
ZONES = sorted(name for name in available_timezones() if "/" in name and not name.startswith("Etc/"))


def field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    return st.one_of(
        st.just("*"),
        number.map(str),
        st.lists(number, min_size=1, max_size=4).map(lambda them: ",".join(map(str, them))),
        st.integers(1, (high - low) // 2).map(lambda step: f"*/{step}"),
        st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}"),
    )


CRONS = st.tuples(field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 6)).map(" ".join)
MOMENTS = st.integers(0, 365 * 24 * 60).map(lambda minutes: YEAR + timedelta(minutes=minutes))


def is_taken(cron: str) -> bool:
    try:
        check_cron(cron, "UTC")
    except InvalidScheduleError:
        return False
    return True


@settings(max_examples=300, deadline=None)
@given(CRONS, st.sampled_from(ZONES), MOMENTS, st.integers(1, 72))
def test_ticks_ascend_strictly_inside_the_span(cron: str, zone: str, begin: datetime, hours: int) -> None:
    assume(is_taken(cron))
    end = begin + timedelta(hours=hours)

    found = [moment.at for moment in cron_moments(cron, zone, begin, end)]

    assert all(earlier < later for earlier, later in pairwise(found))
    assert all(begin < at <= end for at in found)


@settings(max_examples=200, deadline=None)
@given(CRONS, st.sampled_from(ZONES), MOMENTS, st.lists(st.integers(1, 24 * 60), min_size=1, max_size=6))
def test_passes_at_any_times_find_the_ticks_of_one_look(
    cron: str, zone: str, begin: datetime, steps: list[int]
) -> None:
    assume(is_taken(cron))
    times = [begin]
    for minutes in steps:
        times.append(times[-1] + timedelta(minutes=minutes))

    pieces = [moment for after, until in pairwise(times) for moment in cron_moments(cron, zone, after, until)]

    assert pieces == list(cron_moments(cron, zone, begin, times[-1]))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 59), st.integers(0, 23), st.sampled_from(ZONES), MOMENTS)
def test_a_daily_time_fires_once_on_every_local_day(
    minute: int, hour: int, zone: str, begin: datetime
) -> None:
    end = begin + timedelta(days=5)

    days = [
        m.at.astimezone(ZoneInfo(zone)).date()
        for m in cron_moments(f"{minute} {hour} * * *", zone, begin, end)
    ]

    assert days == sorted(set(days))
    assert len(days) == 5
