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
        return _from_seconds(text, text)
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise InvalidDurationError(
            f"{text!r} is not a duration; write a number and a unit, for example 90s, 15m, 6h, 7d."
        )
    return _from_seconds(float(match[1]) * _UNITS_S[match[2]], text)


def _from_seconds(seconds: float, given: object) -> timedelta:
    try:
        return timedelta(seconds=seconds)
    except (OverflowError, ValueError) as error:
        raise InvalidDurationError(
            f"{given!r} is longer than a duration can be, or no number. Give less."
        ) from error


def format_duration(duration: timedelta) -> str:
    """Return the text of a duration of zero or more that `parse_duration` reads back: the largest unit that fits whole."""
    seconds, rest = divmod(duration, timedelta(seconds=1))
    if rest:
        return f"{seconds}.{rest.microseconds:06d}".rstrip("0") + "s"
    for unit in ("w", "d", "h", "m"):
        if seconds and seconds % int(_UNITS_S[unit]) == 0:
            return f"{seconds // int(_UNITS_S[unit])}{unit}"
    return f"{seconds}s"
