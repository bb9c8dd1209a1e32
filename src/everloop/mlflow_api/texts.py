"""Values as MLflow writes them: params are texts to it, and numbers that are not finite, too.

Laws: tests/property/test_mlflow_texts.py.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from everloop.tracking.records import Plain


def text_of(value: Plain) -> str:
    """Return a param as MLflow knows it: as Python writes it."""
    return value if isinstance(value, str) else str(value)


def number_of(value: float) -> float | str:
    """Return a number as protobuf's JSON writes it: those that are not finite as texts."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
