"""Ticks of the year 2026 by the wall clock of several zones; intervals; what is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from everloop.core.clock import ManualClock
from everloop.pipelines.moments import (
    InvalidScheduleError,
    Moment,
    Rhythm,
    check_cron,
    check_every,
    cron_moments,
    due,
)

BEGIN, END = datetime(2025, 12, 30, tzinfo=UTC), datetime(2027, 1, 1, 12, tzinfo=UTC)
ZONES = [
    "UTC",
    "Europe/Paris",
    "America/New_York",
    "America/Santiago",
    "Africa/Cairo",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "Pacific/Auckland",
]


def utc(*fields: int) -> datetime:
    year, month, day, *rest = fields
    hour, minute = [*rest, 0, 0][:2]
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


def moments(cron: str, zone: str, begin: datetime = BEGIN, end: datetime = END) -> list[Moment]:
    return list(cron_moments(cron, zone, begin, end))


def test_nine_in_paris_is_nine_in_paris_on_and_around_both_changes_of_2026() -> None:
    found = {moment.at for moment in moments("0 9 * * *", "Europe/Paris")}

    for month, day, hour in [(3, 28, 8), (3, 29, 7), (3, 30, 7), (10, 24, 7), (10, 25, 8), (10, 26, 8)]:
        assert [at for at in found if at.date() == date(2026, month, day)] == [utc(2026, month, day, hour)]


def test_half_past_two_fires_once_at_the_end_of_the_gap_and_says_why() -> None:
    found = moments("30 2 * * *", "Europe/Paris", utc(2026, 3, 28, 12), utc(2026, 3, 30, 12))

    assert [moment.at for moment in found] == [utc(2026, 3, 29, 1), utc(2026, 3, 30, 0, 30)]
    assert found[0].note == "02:30 does not exist on 2026-03-29 in Europe/Paris: the clocks go forward"
    assert found[1].note == ""


def test_half_past_two_that_comes_twice_fires_the_first_time_and_says_so() -> None:
    found = moments("30 2 * * *", "Europe/Paris", utc(2026, 10, 24, 12), utc(2026, 10, 26, 12))

    assert [moment.at for moment in found] == [utc(2026, 10, 25, 0, 30), utc(2026, 10, 26, 1, 30)]
    assert found[0].note == "02:30 comes twice on 2026-10-25 in Europe/Paris: this is the first"


def test_all_times_in_a_gap_and_the_one_at_its_end_fire_as_one() -> None:
    found = moments("0,30 2,3 * * *", "Europe/Paris", utc(2026, 3, 28, 12), utc(2026, 3, 29, 12))

    assert [moment.at for moment in found] == [utc(2026, 3, 29, 1), utc(2026, 3, 29, 1, 30)]


def test_a_pass_inside_the_repeated_hour_does_not_look_back() -> None:
    # 01:15 UTC is the second 02:15; the first 02:30 was at 00:30 UTC
    assert moments("30 2 * * *", "Europe/Paris", utc(2026, 10, 25, 1, 15), utc(2026, 10, 25, 12)) == []


def test_a_change_of_half_an_hour_shifts_an_hourly_schedule_by_half_an_hour() -> None:
    found = moments("0 * * * *", "Australia/Lord_Howe", utc(2026, 4, 4, 12), utc(2026, 4, 4, 17))

    assert [moment.at for moment in found] == [
        utc(2026, 4, 4, 13), utc(2026, 4, 4, 14), utc(2026, 4, 4, 15, 30), utc(2026, 4, 4, 16, 30),
    ]  # fmt: skip


def test_midnight_that_does_not_exist_fires_at_one() -> None:
    # Cairo goes from 24 April 00:00 to 01:00
    found = moments("0 0 * * *", "Africa/Cairo", utc(2026, 4, 23, 12), utc(2026, 4, 24, 12))

    assert [moment.at.astimezone(ZoneInfo("Africa/Cairo")).hour for moment in found] == [1]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("clock_time", ["0 9", "30 2", "15 0", "45 1"])
def test_a_daily_time_fires_once_on_each_local_day_of_2026(zone: str, clock_time: str) -> None:
    minute, hour = (int(part) for part in clock_time.split())
    clock = ManualClock(BEGIN)
    rhythm, seen, fired = Rhythm(cron=f"{clock_time} * * *", timezone=zone), BEGIN, []

    while clock.now() < END:
        clock.advance(41 * 60)
        for at in due(rhythm, seen_until=seen, now=clock.now(), catch_up="all"):
            assert at <= clock.now() < at + timedelta(minutes=42)
            fired.append(at.astimezone(ZoneInfo(zone)))
            seen = at

    days = [at.date() for at in fired if at.year == 2026]
    assert days == [date(2026, 1, 1) + timedelta(days=number) for number in range(365)]
    exact = [at for at in fired if (at.hour, at.minute) == (hour, minute)]
    assert len(fired) - len(exact) <= 1  # only where the time does not exist


@pytest.mark.parametrize("zone", ZONES)
def test_an_hourly_schedule_fires_8760_times_in_a_year_of_any_zone(zone: str) -> None:
    assert len(moments("0 * * * *", zone, utc(2026, 1, 1), utc(2027, 1, 1))) in {8760, 8759}


@pytest.mark.parametrize(
    ("cron", "zone", "message"),
    [
        ("* * *", "UTC", "it has 3 fields. Write five"),
        ("0 0 6 * * *", "UTC", "it has 6 fields"),
        ("61 * * * *", "UTC", "is no cron expression: Bad minute"),
        ("0 0 30 13 *", "UTC", "is no cron expression"),
        ("0 0 30 2 *", "UTC", "never fires"),
        ("0 0 31 4,6 *", "UTC", "never fires"),
        ("0 6 * * *", "Europ/Paris", "no time zone. Did you mean Europe/Paris?"),
        ("0 6 * * *", "Zurich", "no time zone. Did you mean Europe/Zurich?"),
        ("0 6 * * *", "../etc", "is no time zone"),
        ("0 6 * * *", "Europe", "is no time zone"),
        ("0 6 * * *", "", "is no time zone"),
    ],
)
def test_what_never_fires_is_refused(cron: str, zone: str, message: str) -> None:
    with pytest.raises(InvalidScheduleError, match=message):
        check_cron(cron, zone)


@pytest.mark.parametrize("cron", ["0 0 29 2 *", "0 0 * 2 1#5", "0 0 L * *", "0 0 31 4 1"])
def test_what_fires_rarely_is_taken(cron: str) -> None:
    check_cron(cron, "Europe/Paris")


def test_an_interval_counts_from_its_anchor_whatever_the_passes() -> None:
    anchor = datetime(2026, 3, 28, 7, 7, tzinfo=UTC)
    rhythm = Rhythm(every="7m", anchor=anchor)
    seen, fired, now = anchor, [], anchor

    while now < anchor + timedelta(days=2):
        now += timedelta(minutes=3, seconds=11)
        for at in due(rhythm, seen_until=seen, now=now, catch_up="all"):
            fired.append(at)
            seen = at

    assert fired == [anchor + number * timedelta(minutes=7) for number in range(1, len(fired) + 1)]
    assert len(fired) == 2 * 24 * 60 // 7


def test_an_interval_fires_at_its_start_and_not_after_its_end() -> None:
    start = utc(2026, 1, 1, 6)
    rhythm = Rhythm(every="6h", anchor=start, start_at=start, end_at=start + timedelta(hours=12))

    found = [moment.at for moment in rhythm.between(utc(2025, 12, 1), utc(2026, 2, 1))]

    assert found == [utc(2026, 1, 1, 6), utc(2026, 1, 1, 12), utc(2026, 1, 1, 18)]


def test_a_cron_schedule_fires_within_its_dates_both_included() -> None:
    rhythm = Rhythm(cron="0 6 * * *", start_at=utc(2026, 1, 3, 6), end_at=utc(2026, 1, 5, 6))

    found = [moment.at.day for moment in rhythm.between(utc(2025, 12, 1), utc(2026, 2, 1))]

    assert found == [3, 4, 5]


def test_years_of_missed_seconds_owe_the_last_thousand_at_once() -> None:
    rhythm, now = Rhythm(every="1s", anchor=utc(2020, 1, 1)), utc(2026, 1, 1)

    found = due(rhythm, seen_until=utc(2020, 1, 1), now=now, catch_up="all")

    assert (len(found), found[-1]) == (1000, now)


def test_an_interval_below_a_second_is_refused() -> None:
    with pytest.raises(InvalidScheduleError, match="shortest is 1s"):
        check_every("0s")
