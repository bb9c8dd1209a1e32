"""Durations as people write them: `90s`, `15m`, `6h`, `7d`, `2w`.

Tests: tests/unit/core/test_durations.py.
"""

from __future__ import annotations

import re
from datetime import timedelta

from everloop.core.errors import InvalidInputError

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_FORM = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)")


class InvalidDurationError(InvalidInputError):
    """A text is not a duration."""

    code = "core.invalid-duration"


def parse_duration(text: str | float | timedelta) -> timedelta:
    """Return a duration from `"7d"`, a number of seconds, or a timedelta.

    Raises:
        InvalidDurationError: the text is not a number and one of ms, s, m, h, d, w.
    """
    if isinstance(text, timedelta):
        return text
    if isinstance(text, int | float):
        return timedelta(seconds=text)
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise InvalidDurationError(
            f"{text!r} is not a duration; write a number and a unit, for example 90s, 15m, 6h, 7d."
        )
    return timedelta(seconds=float(match[1]) * _UNITS_S[match[2]])


def format_duration(duration: timedelta) -> str:
    """Return the shortest text that `parse_duration` reads back, whole units only where they fit."""
    seconds = duration.total_seconds()
    for unit in ("w", "d", "h", "m", "s"):
        if seconds and seconds % _UNITS_S[unit] == 0:
            return f"{int(seconds / _UNITS_S[unit])}{unit}"
    return f"{seconds:g}s"
