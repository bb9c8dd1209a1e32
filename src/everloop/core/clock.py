"""Where time comes from: every component takes a clock, so that a year can be replayed in a minute.

Times are aware datetimes in UTC. Tests: tests/unit/core/test_clock.py.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Protocol

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Tells the time of the world the models live in. Threads may share one clock; it never runs backwards."""

    def now(self) -> datetime:
        """Return the time, aware, in UTC."""
        ...


class SystemClock:
    """The clock of the machine."""

    def now(self) -> datetime:
        """Return the machine's time in UTC."""
        return datetime.now(UTC)


class ManualClock:
    """A clock that stands still until it is moved; for tests."""

    def __init__(self, start: datetime) -> None:
        self._now = start
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """Return the time it was last moved to."""
        return self._now

    def move_to(self, moment: datetime) -> None:
        """Set the time.

        Raises:
            ValueError: `moment` is before the present time.
        """
        with self._lock:
            if moment < self._now:
                raise ValueError(f"a clock never runs backwards: {moment} is before {self._now}")
            self._now = moment

    def advance(self, seconds: float) -> None:
        """Move the time forward."""
        self.move_to(self._now + timedelta(seconds=seconds))


def to_microseconds(moment: datetime) -> int:
    """Return whole microseconds since 1970 of an aware datetime."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def from_microseconds(value: int) -> datetime:
    """Return the aware datetime of whole microseconds since 1970."""
    return EPOCH + timedelta(microseconds=value)
