"""Params that come as texts: what is written exactly like a number is kept as that number, so that filters can compare it.

Laws: tests/property/test_mlflow_texts.py.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from everloop.tracking.records import Plain

_WHOLE = re.compile(r"-?[1-9][0-9]{0,14}|0")
_LONGEST_NUMBER = 25


def plain_of(text: str) -> Plain:
    """Return a text as the number whose text it is, else as it is; `str` gives the text back."""
    if _WHOLE.fullmatch(text):
        return int(text)
    if len(text) > _LONGEST_NUMBER or not text[-1:].isdecimal():
        return text
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) and repr(number) == text else text
