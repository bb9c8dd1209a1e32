"""Params are texts to MLflow; we keep what is written exactly like a number as that number, so that filters can compare it.

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
    """Return a text as the number whose text it is, else as it is; `text_of` gives the text back."""
    if _WHOLE.fullmatch(text):
        return int(text)
    if len(text) > _LONGEST_NUMBER or not text[-1:].isdecimal():
        return text
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) and repr(number) == text else text


def text_of(value: Plain) -> str:
    """Return a param as MLflow knows it: as Python writes it."""
    return value if isinstance(value, str) else str(value)


def number_of(value: float) -> float | str:
    """Return a number as protobuf's JSON writes it: those that are not finite as texts."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
