"""Count, mean and sum of squared deviations, which add without loss of digits.

Source: Chan, Golub and LeVeque, Updating formulae and a pairwise algorithm for computing sample variances (1979).
Tests: tests/property/test_statistics.py.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from everloop.data.profiles.quantiles import Floats


class Moments(msgspec.Struct, frozen=True, array_like=True):
    """Of `count` numbers: their mean and the sum of their squared distances to it."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    @property
    def std(self) -> float | None:
        """Return the standard deviation of the sample; None for less than two numbers or beyond a float's range."""
        if self.count < 2:  # noqa: PLR2004 - one number has no spread
            return None
        found = math.sqrt(self.squares / (self.count - 1)) if self.squares >= 0 else math.nan
        return found if math.isfinite(found) else None


def moments_of(values: Floats) -> Moments:
    """Return the moments of finite numbers."""
    if not values.size:
        return Moments()
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(values.mean())
        apart = values - mean
        # No dot product: BLAS would start threads of its own for each, and add up in another order on each machine.
        return Moments(values.size, mean, float(np.square(apart, out=apart).sum()))


def add_moments(parts: Iterable[Moments]) -> Moments:
    """Return the moments of parts together."""
    count, mean, squares = 0, 0.0, 0.0
    for part in parts:
        if not part.count:
            continue
        apart, total = part.mean - mean, count + part.count
        squares += part.squares + apart * apart * (count / total) * part.count
        mean += apart * (part.count / total)
        count = total
    return Moments(count, mean, squares)
