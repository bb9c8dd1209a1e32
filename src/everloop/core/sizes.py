"""Sizes as people write them. Tests: tests/unit/core/test_sizes.py."""

from __future__ import annotations

import re

from everloop.core.errors import InvalidInputError

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}  # fmt: skip
_FORM = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)")


class InvalidSizeError(InvalidInputError):
    """A text is no number of bytes."""

    code = "core.invalid-size"


def parse_size(text: str | int) -> int:
    """Return a number of bytes from `"4GB"`, `"512MiB"` or a number.

    Raises:
        InvalidSizeError: the text is no positive number and one of B, KB, MB, GB, TB, KiB, MiB, GiB, TiB.
    """
    match = _FORM.fullmatch(str(text).strip())
    unit = match[2].upper() if match else None
    if match is None or unit not in _UNITS or float(match[1]) <= 0:
        raise InvalidSizeError(f"{text!r} is no size. Write a number of bytes, or `512MB`, `4GiB`.")
    return int(float(match[1]) * _UNITS[unit])
