"""When schedules fire, as pure functions: cron expressions in a zone over its changes of time, and intervals.

A cron expression is read on the wall clock. `cronsim` matches its fields on times without a zone; which instant each of
them is, is decided here, offset by offset, so that the result ascends strictly in every zone:

- A wall time that comes twice (autumn) fires at its first occurrence.
- Wall times that do not exist (spring) fire once, together, at the instant of the change: the first moment after the gap.
- When the hour field begins with `*` the expression follows elapsed time: each real hour counts, and hours that do not
  exist are not made up.

Tests: tests/unit/pipelines/test_moments.py, tests/property/test_moments.py.
"""

from __future__ import annotations

import difflib
import functools
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, available_timezones

import msgspec
from cronsim import CronSim, CronSimError

from everloop.core.clock import EPOCH
from everloop.core.durations import parse_duration
from everloop.core.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from everloop.pipelines.schedule_records import CatchUp

_FIELDS = 5
_HOUR = 1
_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
# More missed ticks than this are not made up, whatever the policy: a schedule of every minute that slept for a month.
_MOST_TICKS = 1000
_FRESH = timedelta(minutes=1)


class InvalidScheduleError(InvalidInputError):
    """A cron expression, an interval or a time zone is not one."""

    code = "pipelines.invalid-schedule"


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """An instant at which a schedule fires, in UTC; `note` says why when the wall clock shows another time than asked for."""

    at: datetime
    note: str = ""


class Rhythm(msgspec.Struct, frozen=True, kw_only=True):
    """When a schedule fires: `cron` in `timezone`, or `every` so much time from `anchor` on; between `start_at` and `end_at`."""

    cron: str = ""
    timezone: str = "UTC"
    every: str = ""
    anchor: datetime = EPOCH
    start_at: datetime | None = None
    end_at: datetime | None = None

    def between(self, after: datetime, until: datetime) -> Iterator[Moment]:
        """Yield the moments after `after` up to and with `until`, strictly ascending, within start and end."""
        if self.start_at is not None:
            after = max(after, self.start_at - timedelta(microseconds=1))
        if self.end_at is not None:
            until = min(until, self.end_at)
        if after >= until:
            return iter(())
        if self.every:
            return _interval(self.anchor, parse_duration(self.every), after, until)
        return cron_moments(self.cron, self.timezone, after, until)


def check_cron(cron: str, timezone: str) -> None:
    """Refuse an expression that cannot be read or never fires, or a zone that is none.

    Raises:
        InvalidScheduleError: with the reason.
    """
    check_timezone(timezone)
    if len(cron.split()) != _FIELDS:
        raise InvalidScheduleError(
            f"{cron!r} is no cron expression: it has {len(cron.split())} fields. Write five, for example `0 6 * * 1`."
        )
    try:
        found = next(CronSim(cron, datetime(2020, 1, 1)), None)  # noqa: DTZ001 - any day of the wall clock
    except CronSimError as error:
        if not _is_only_the_month(cron):
            raise InvalidScheduleError(
                f"{cron!r} is no cron expression: {error}. Write five fields, for example `0 6 * * 1`."
            ) from error
        found = None
    if found is None:
        raise InvalidScheduleError(
            f"{cron!r} never fires: no month it names has such a day. Change the day or the month."
        )


def _is_only_the_month(cron: str) -> bool:
    """Say whether the expression would be fine in another month."""
    minute, hour, day, month, weekday = cron.split()
    try:
        for each in (f"{minute} {hour} {day} * {weekday}", f"0 0 1 {month} *"):
            CronSim(each, datetime(2020, 1, 1))  # noqa: DTZ001 - any day of the wall clock
    except CronSimError:
        return False
    return True


def check_timezone(timezone: str) -> None:
    """Refuse a name that is no IANA zone.

    Raises:
        InvalidScheduleError: with the nearest names.
    """
    known = _zones()
    if timezone in known.values():
        return
    near = difflib.get_close_matches(timezone.lower(), known, n=1, cutoff=0.5)
    hint = f"Did you mean {known[near[0]]}?" if near else "Use an IANA name such as Europe/Zurich."
    raise InvalidScheduleError(f"{timezone!r} is no time zone. {hint}")


@functools.cache
def _zones() -> dict[str, str]:
    """Return every zone by its name in small letters, and by its city alone."""
    names = sorted(available_timezones())
    return {**{name.rpartition("/")[2].lower(): name for name in names}, **{n.lower(): n for n in names}}


def check_every(every: str) -> timedelta:
    """Return an interval of at least a second.

    Raises:
        InvalidScheduleError: it is shorter.
        InvalidDurationError: it is no duration.
    """
    length = parse_duration(every)
    if length < _SECOND:
        raise InvalidScheduleError(f"an interval of {every} is too short. The shortest is 1s.")
    return length


def cron_moments(cron: str, timezone: str, after: datetime, until: datetime) -> Iterator[Moment]:
    """Yield the moments of a cron expression after `after` up to and with `until`.

    Args:
        cron: five fields.
        timezone: IANA name.
        after: aware; excluded.
        until: aware; included.
    """
    zone = ZoneInfo(timezone)
    follows_time = cron.split()[_HOUR].startswith("*")
    last = after
    for begin, end, offset, before in _stretches(zone, after.astimezone(UTC), until.astimezone(UTC)):
        shift = offset - before
        # Nominal times in the gap that opened at `begin`: they share its end.
        if shift > timedelta(0) and not follows_time and begin > after:
            gap = (begin + before).replace(tzinfo=None)
            missed = _first(cron, gap, gap + shift)
            if missed is not None:
                note = (
                    f"{missed:%H:%M} does not exist on {missed:%Y-%m-%d} in {timezone}: the clocks go forward"
                )
                yield Moment(at=begin, note=note)
                last = begin
        for wall in _matches(
            cron, (begin + offset).replace(tzinfo=None), (end + offset).replace(tzinfo=None)
        ):
            at = (wall - offset).replace(tzinfo=UTC)
            if at <= last:
                continue
            if follows_time or not _is_repeated(zone, wall, at):
                yield Moment(at=at, note=_note(zone, wall, timezone) if not follows_time else "")
                last = at


def _note(zone: ZoneInfo, wall: datetime, timezone: str) -> str:
    first, second = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first >= second:
        return ""
    return f"{wall:%H:%M} comes twice on {wall:%Y-%m-%d} in {timezone}: this is the first"


def _is_repeated(zone: ZoneInfo, wall: datetime, at: datetime) -> bool:
    """Say whether a wall time was there before `at`."""
    return wall.replace(tzinfo=zone, fold=0).astimezone(UTC) < at


def _matches(cron: str, begin: datetime, end: datetime) -> Iterator[datetime]:
    """Yield the wall times that match in [begin, end]."""
    for wall in CronSim(cron, begin - _SECOND):
        if wall > end:
            return
        if wall >= begin:
            yield wall


def _first(cron: str, begin: datetime, end: datetime) -> datetime | None:
    """Return the first wall time that matches in [begin, end)."""
    return next((wall for wall in _matches(cron, begin, end) if wall < end), None)


def _stretches(
    zone: ZoneInfo, begin: datetime, end: datetime
) -> Iterator[tuple[datetime, datetime, timedelta, timedelta]]:
    """Cut a span at the zone's changes: (begin, end, offset, offset before); the first has no change before it."""
    start, offset = begin, _offset(zone, begin)
    before, probe = offset, begin
    while probe < end:
        later = min(probe + _DAY, end)
        if _offset(zone, later) != _offset(zone, probe):
            change = _change(zone, probe, later)
            yield start, change - _SECOND, offset, before
            start, before, offset = change, offset, _offset(zone, change)
            later = change
        probe = later
    yield start, end, offset, before


def _change(zone: ZoneInfo, low: datetime, high: datetime) -> datetime:
    """Return the first whole second after `low` whose offset is another one."""
    offset = _offset(zone, low)
    low = low.replace(microsecond=0)
    while high - low > _SECOND:
        middle = low + (high - low) // 2
        middle = middle.replace(microsecond=0)
        if middle <= low:
            break
        if _offset(zone, middle) == offset:
            low = middle
        else:
            high = middle
    return (low + _SECOND).replace(microsecond=0)


def _offset(zone: ZoneInfo, moment: datetime) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta(0)


def _interval(anchor: datetime, every: timedelta, after: datetime, until: datetime) -> Iterator[Moment]:
    """Yield anchor + k * every for whole k from 0 on: computed from the anchor each time, so that no drift adds up."""
    number = max((after - anchor) // every + 1, 0)
    while (at := anchor + number * every) <= until:
        yield Moment(at=at)
        number += 1


def due(rhythm: Rhythm, *, seen_until: datetime, now: datetime, catch_up: CatchUp) -> list[datetime]:
    """Return the nominal times after `seen_until` up to `now` for which a run is owed, oldest first, in UTC.

    `latest` owes one run for any number of missed ticks, `all` owes each of them, `none` owes a tick only within
    the minute after it.
    """
    if rhythm.every:
        seen_until = max(seen_until, now - _MOST_TICKS * parse_duration(rhythm.every))
    kept: deque[Moment] = deque(rhythm.between(seen_until, now), maxlen=_MOST_TICKS)
    ticks = [moment.at for moment in kept]
    if catch_up == "all":
        return ticks
    if catch_up == "none":
        return [tick for tick in ticks[-1:] if now - tick <= _FRESH]
    return ticks[-1:]
