"""Intervals of metrics: DeLong for AUC, normal for means, and both by blocks when rows are not independent.

Rows of one day share its weather; counting them as independent makes every interval too short. So each function takes
blocks (one name a row): whole blocks are the unit. Tests: tests/unit/evaluation/test_intervals.py.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from everloop.evaluation.metrics import FloatArray, MisalignedRowsError, aligned, losses, placements
from everloop.evaluation.records import Estimate

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Z = NormalDist().inv_cdf(0.975)
DRAWS = 2_000
# Independent rows are dealt into this many random blocks before resampling: the same law, at a cost free of n.
_DEALT_BLOCKS = 1_000
_FEWEST_BLOCKS = 2


def estimate(
    metric: str, labels: ArrayLike, scores: ArrayLike, *, blocks: ArrayLike | None = None
) -> Estimate:
    """Return a metric with its 95 % interval.

    Args:
        metric: `auc`, `log_loss`, `brier`, `squared_error` or `absolute_error`.
        labels: n values; 0 or 1 for the first three.
        scores: n values; probabilities for the first three.
        blocks: n names of independent groups of rows, such as days; None when rows are independent.

    Returns:
        The estimate. AUC uses DeLong's variance, over blocks Obuchowski's; a mean uses the normal interval, over
        blocks the variance of a ratio of block sums.
    """
    truth, score = aligned(labels, scores)
    group, count = block_codes(blocks, truth.size)
    if metric == "auc":
        value, error = _auc_error(truth, [score], group, count)
        name = "delong" if blocks is None else "obuchowski"
    else:
        value, error = _mean_error(losses(metric, truth, score), group, count)
        name = "normal" if blocks is None else "blocks"
    return _estimate(value, error, rows=truth.size, blocks=count, method=name)


def auc_gain(
    labels: ArrayLike, champion: ArrayLike, challenger: ArrayLike, *, blocks: ArrayLike | None = None
) -> Estimate:
    """Return the challenger's AUC minus the champion's on the same rows, with the paired DeLong interval."""
    truth, old = aligned(labels, champion)
    _, new = aligned(labels, challenger)
    group, count = block_codes(blocks, truth.size)
    value, error = _auc_error(truth, [new, old], group, count)
    method = "paired-delong" if blocks is None else "paired-obuchowski"
    return _estimate(value, error, rows=truth.size, blocks=count, method=method)


def mean_gain(
    gains: ArrayLike, *, blocks: ArrayLike | None = None, generator: np.random.Generator, draws: int = DRAWS
) -> Estimate:
    """Return the mean of one gain a row with its percentile bootstrap interval, resampling whole blocks.

    Args:
        gains: n differences of losses, champion minus challenger.
        blocks: n names of independent groups of rows; None when rows are independent.
        generator: the source of randomness; the same seed gives the same interval.
        draws: number of resamples.
    """
    values = np.asarray(gains, dtype=np.float64)
    group, count = block_codes(blocks, values.size)
    if count < _FEWEST_BLOCKS:
        return _estimate(
            _mean(values), float("nan"), rows=values.size, blocks=count, method="paired-bootstrap"
        )
    unit, units = _deal(group, count, generator) if blocks is None else (group, count)
    sums = np.bincount(unit, values, minlength=units)
    sizes = np.bincount(unit, minlength=units).astype(np.float64)
    picks = generator.multinomial(units, np.full(units, 1 / units), size=draws).astype(np.float64)
    means = (picks @ sums) / (picks @ sizes)
    low, high = np.quantile(means, [0.025, 0.975])
    return Estimate(
        value=_mean(values),
        low=float(low),
        high=float(high),
        rows=values.size,
        blocks=count,
        method="paired-bootstrap",
    )


def block_codes(blocks: ArrayLike | None, rows: int) -> tuple[NDArray[np.int64], int]:
    """Return a whole number from 0 for each row's block, and the number of blocks; each row its own when None.

    Raises:
        MisalignedRowsError: there is not one block a row.
    """
    if blocks is None:
        return np.arange(rows), rows
    names = np.asarray(blocks)
    if names.shape != (rows,):
        raise MisalignedRowsError(
            f"blocks have the shape {names.shape}; give one name for each of the {rows} rows."
        )
    found, codes = np.unique(names, return_inverse=True)
    return codes.astype(np.int64), int(found.size)


def _deal(
    group: NDArray[np.int64], count: int, generator: np.random.Generator
) -> tuple[NDArray[np.int64], int]:
    if count <= _DEALT_BLOCKS:
        return group, count
    return generator.permutation(count) % _DEALT_BLOCKS, _DEALT_BLOCKS


def _mean(values: FloatArray) -> float:
    return float(values.mean()) if values.size else float("nan")


def _mean_error(values: FloatArray, group: NDArray[np.int64], count: int) -> tuple[float, float]:
    mean = _mean(values)
    if count < _FEWEST_BLOCKS:
        return mean, float("nan")
    residuals = np.bincount(group, values - mean, minlength=count)
    variance = count / (count - 1) * float(residuals @ residuals) / values.size**2
    return mean, variance**0.5


def _auc_error(
    truth: FloatArray, scores: list[FloatArray], group: NDArray[np.int64], count: int
) -> tuple[float, float]:
    """AUC of the first scores (minus that of the second) and its standard error.

    Source: Obuchowski, Nonparametric Analysis of Clustered ROC Curve Data, Biometrics 53 (1997); with one row a block it
    is DeLong, DeLong and Clarke-Pearson (1988).
    """
    positive = truth > 0
    above, below = placements(positive, scores[0])
    if not above.size:
        return float("nan"), float("nan")
    if len(scores) > 1:
        other_above, other_below = placements(positive, scores[1])
        above, below = above - other_above, below - other_below
    value = float(above.mean())
    high: FloatArray = np.asarray(
        np.bincount(group[positive], above - value, minlength=count), dtype=np.float64
    )
    low: FloatArray = np.asarray(
        np.bincount(group[~positive], below - value, minlength=count), dtype=np.float64
    )
    return value, _clustered_error(high, low, group, positive, count)


def _clustered_error(
    high: FloatArray, low: FloatArray, group: NDArray[np.int64], positive: NDArray[np.bool_], count: int
) -> float:
    positives, negatives = int(positive.sum()), int((~positive).sum())
    high_blocks = np.unique(group[positive]).size
    low_blocks = np.unique(group[~positive]).size
    if min(high_blocks, low_blocks) < _FEWEST_BLOCKS:
        return float("nan")
    variance = high_blocks / (high_blocks - 1) * float(high @ high) / positives**2
    variance += low_blocks / (low_blocks - 1) * float(low @ low) / negatives**2
    variance += 2 * count / (count - 1) * float(high @ low) / (positives * negatives)
    return float(max(variance, 0.0) ** 0.5)


def _estimate(value: float, error: float, *, rows: int, blocks: int, method: str) -> Estimate:
    if not np.isfinite(value):
        return Estimate(value=None, low=None, high=None, rows=rows, blocks=blocks, method=method)
    if not np.isfinite(error):
        return Estimate(value=value, low=None, high=None, rows=rows, blocks=blocks, method=method)
    return Estimate(
        value=value, low=value - Z * error, high=value + Z * error, rows=rows, blocks=blocks, method=method
    )
