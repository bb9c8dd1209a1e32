"""Point metrics of predictions against labels: AUC, log-loss, Brier score, squared and absolute error.

A metric is either a mean of one loss per row (smaller is better) or a rank statistic (AUC, larger is better). Pure
NumPy, so that nothing heavy is loaded to judge a model. Intervals are in intervals.py.
Tests: tests/unit/evaluation/test_metrics.py, tests/property/test_evaluation.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from everloop.core.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable

FloatArray: TypeAlias = NDArray[np.float64]
Metric = Literal["auc", "log_loss", "brier", "squared_error", "absolute_error"]

# A probability of exactly 0 or 1 would make one wrong row infinite; the machine epsilon is scikit-learn's choice too.
CLIP = float(np.finfo(np.float64).eps)


class UnknownMetricError(InvalidInputError):
    """A metric's name is not known."""

    code = "evaluation.unknown-metric"


class MisalignedRowsError(InvalidInputError):
    """Labels, scores or blocks do not have one value a row."""

    code = "evaluation.misaligned-rows"


def auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Return the area under the ROC curve: the chance that a positive row scores above a negative one.

    A tie counts one half. NaN when one of the two classes is absent.

    Args:
        labels: n values, 0 or 1.
        scores: n values, any order-preserving scale.
    """
    truth, score = aligned(labels, scores)
    positive = truth > 0
    above, _ = placements(positive, score)
    return float(above.mean()) if above.size and above.size < truth.size else float("nan")


def log_losses(labels: FloatArray, scores: FloatArray) -> FloatArray:
    """Return one negative log-likelihood a row, in nats, of probabilities clipped to [CLIP, 1 - CLIP]."""
    clipped = np.clip(scores, CLIP, 1 - CLIP)
    losses: FloatArray = -(labels * np.log(clipped) + (1 - labels) * np.log1p(-clipped))
    return losses


def squared_errors(labels: FloatArray, scores: FloatArray) -> FloatArray:
    """Return one squared difference a row; its mean over probabilities is the Brier score."""
    errors: FloatArray = (labels - scores) ** 2
    return errors


def absolute_errors(labels: FloatArray, scores: FloatArray) -> FloatArray:
    """Return one absolute difference a row."""
    return np.abs(labels - scores)


LOSSES: dict[str, Callable[[FloatArray, FloatArray], FloatArray]] = {
    "log_loss": log_losses,
    "brier": squared_errors,
    "squared_error": squared_errors,
    "absolute_error": absolute_errors,
}


def losses(metric: str, labels: ArrayLike, scores: ArrayLike) -> FloatArray:
    """Return one loss a row of a mean metric.

    Raises:
        UnknownMetricError: the metric is not a mean of losses.
    """
    if metric not in LOSSES:
        raise UnknownMetricError(
            f"{metric!r} is not a mean of losses; choose one of {', '.join(LOSSES)}.", subject=metric
        )
    return LOSSES[metric](*aligned(labels, scores))


def measure(metric: str, labels: ArrayLike, scores: ArrayLike) -> float:
    """Return the metric's value on these rows; NaN when it is not defined on them."""
    if metric == "auc":
        return auc(labels, scores)
    values = losses(metric, labels, scores)
    return float(values.mean()) if values.size else float("nan")


def is_gain_positive_up(metric: str) -> bool:
    """Tell whether a larger value of the metric is better."""
    return metric == "auc"


def aligned(labels: ArrayLike, scores: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return labels and scores as two float vectors of one length.

    Raises:
        MisalignedRowsError: the lengths differ, or one is not a vector.
    """
    truth = np.asarray(labels, dtype=np.float64)
    score = np.asarray(scores, dtype=np.float64)
    if truth.ndim != 1 or truth.shape != score.shape:
        raise MisalignedRowsError(
            f"labels have the shape {truth.shape} and scores {score.shape}; give one number a row for each."
        )
    return truth, score


def placements(positive: NDArray[np.bool_], scores: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return DeLong's structural components of the AUC.

    Returns:
        For each positive row the share of negative rows it scores above, and for each negative row the share of positive
        rows that score above it; ties count one half. The mean of either is the AUC.

    Source: Sun and Xu, Fast Implementation of DeLong's Algorithm (2014), by midranks.
    """
    high, low = scores[positive], scores[~positive]
    if not high.size or not low.size:
        return np.empty(0), np.empty(0)
    both = _midranks(np.concatenate([high, low]))
    above = (both[: high.size] - _midranks(high)) / low.size
    below = 1 - (both[high.size :] - _midranks(low)) / high.size
    return above, below


def _midranks(values: FloatArray) -> FloatArray:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: FloatArray = (last - (counts - 1) / 2.0)[inverse]
    return ranks
