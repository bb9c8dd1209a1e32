"""Additive contributions of features to a model's margin, and what follows from them.

A contribution matrix has a row a prediction, a column a feature, and the base value last: its row sums are the margins.
Trees are explained by their library (`pred_contrib`); a linear model in closed form here.
Tests: tests/unit/explanation/test_contributions.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from everloop.core.errors import EverloopError
from everloop.explanation.records import Importance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class NotAdditiveError(EverloopError):
    """Contributions do not add up to the margin, so they explain another model."""

    code = "explanation.not-additive"
    status = 500


def linear_contributions(
    matrix: NDArray[np.float64],
    *,
    weights: NDArray[np.float64],
    intercept: float,
    center: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the contributions of a linear margin: weight times distance from the centre.

    Args:
        matrix: n rows of k features.
        weights: k weights.
        intercept: the margin at zero.
        center: k values to measure from, usually the training means; the base is the margin there.

    Returns:
        An array (n, k + 1); the last column is the base.

    Source: Lundberg and Lee (2017), section 4.1: exact Shapley values for independent features.
    """
    parts = (matrix - center) * weights
    base = np.full((len(matrix), 1), intercept + float(center @ weights))
    return np.hstack([parts, base])


def check_additive(
    contributions: NDArray[np.float64], margins: NDArray[np.float64], *, tolerance: float = 1e-6
) -> None:
    """Check that rows sum to the margins within `tolerance` times the largest margin (at least 1).

    Raises:
        NotAdditiveError: they do not.
    """
    gap = float(np.abs(contributions.sum(axis=1) - margins).max(initial=0.0))
    scale = max(1.0, float(np.abs(margins).max(initial=0.0)))
    if gap > tolerance * scale:
        raise NotAdditiveError(
            f"contributions miss the margin by {gap:.3g}. Please report this with the model."
        )


def importances(contributions: NDArray[np.float64], features: Sequence[str]) -> list[Importance]:
    """Return the mean absolute contribution of each feature, largest first.

    Args:
        contributions: an array (n, k + 1) with the base last.
        features: k names.
    """
    means = np.abs(contributions[:, :-1]).mean(axis=0) if len(contributions) else np.zeros(len(features))
    whole = float(means.sum()) or 1.0
    order = np.argsort(-means, kind="stable")
    return [
        Importance(feature=features[i], mean_absolute=float(means[i]), share=float(means[i]) / whole)
        for i in order
    ]
