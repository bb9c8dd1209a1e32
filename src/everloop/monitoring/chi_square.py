"""The upper tail of the noncentral chi-square law, in NumPy: the test of drift needs nothing else of SciPy.

Tests: tests/unit/monitoring/test_chi_square.py compares with SciPy, which the test environment has.
"""

from __future__ import annotations

from math import exp, lgamma, log, sqrt
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Terms of the Poisson mixture farther than this many standard deviations from its mean are below 1e-22.
_REACH = 10.0
_EPSILON = 1e-15
_MOST_STEPS = 100_000


def upper_tail(statistic: float, *, freedom: int, noncentrality: float) -> float:
    """Return P(X >= statistic) for X noncentral chi-square.

    X is a mixture of central laws with freedom + 2j degrees, j Poisson with half the noncentrality. Cost: about
    20 * sqrt(noncentrality / 2) terms.

    Args:
        statistic: any number; at or below 0 the tail is 1.
        freedom: degrees of freedom, 1 or more.
        noncentrality: 0 or more.
    """
    if statistic <= 0:
        return 1.0
    half, x = noncentrality / 2, statistic / 2
    reach = _REACH * (sqrt(half) + 1)
    first, last = max(0, int(half - reach)), int(half + reach) + 1
    ranks = np.arange(first, last + 1)
    weights = _poisson(ranks, half)
    return float(min(1.0, weights @ _upper_gammas(freedom / 2 + first, x, ranks.size) / weights.sum()))


def _poisson(ranks: NDArray[np.int64], mean: float) -> NDArray[np.float64]:
    if mean == 0:
        return np.where(ranks == 0, 1.0, 0.0)
    start = float(ranks[0]) * log(mean) - mean - lgamma(float(ranks[0]) + 1)
    steps = log(mean) - np.log(ranks[1:].astype(np.float64))
    weights: NDArray[np.float64] = np.exp(start + np.concatenate([[0.0], np.cumsum(steps)]))
    return weights


def _upper_gammas(a: float, x: float, count: int) -> NDArray[np.float64]:
    """Return Q(a, x), Q(a + 1, x), ... by Q(a + 1, x) = Q(a, x) + x^a e^-x / Gamma(a + 1): a sum of positive terms."""
    shapes = a + np.arange(count - 1)
    logs = a * log(x) - x - lgamma(a + 1) + np.concatenate([[0.0], np.cumsum(log(x) - np.log(shapes[1:]))])
    terms = np.exp(logs[: count - 1])
    return np.minimum(1.0, upper_gamma(a, x) + np.concatenate([[0.0], np.cumsum(terms)]))


def upper_gamma(a: float, x: float) -> float:
    """Return the regularised upper incomplete gamma function Q(a, x), for a > 0 and x > 0.

    Source: Press et al., Numerical Recipes, section 6.2: the series of P below a + 1, Lentz's continued fraction above.
    """
    scale = a * log(x) - x - lgamma(a)
    if x < a + 1:
        return max(0.0, 1.0 - _series(a, x) * exp(scale))
    return _fraction(a, x) * exp(scale)


def _series(a: float, x: float) -> float:
    term = total = 1.0 / a
    for step in range(1, _MOST_STEPS):
        term *= x / (a + step)
        total += term
        if term < total * _EPSILON:
            break
    return total


def _fraction(a: float, x: float) -> float:
    tiny = 1e-300
    b = x + 1 - a
    c, d = 1 / tiny, 1 / b
    found = d
    for step in range(1, _MOST_STEPS):
        numerator = -step * (step - a)
        b += 2
        d = 1 / (_nonzero(numerator * d + b, tiny))
        c = _nonzero(b + numerator / c, tiny)
        found *= d * c
        if abs(d * c - 1) < _EPSILON:
            break
    return found


def _nonzero(value: float, tiny: float) -> float:
    return value if abs(value) > tiny else tiny
