"""Calibration of probabilities: the logistic line of labels over the scores' log-odds.

Slope below 1 means too extreme scores, above 1 too timid; the intercept is the shift left over.
Tests: tests/unit/evaluation/test_calibration.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from everloop.evaluation.metrics import aligned
from everloop.evaluation.records import Calibration

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_STEPS = 25
_TOLERANCE = 1e-10
# Log-odds beyond this are the same certainty; it bounds the leverage of scores of exactly 0 or 1.
_FARTHEST = 16.0


def calibration(labels: ArrayLike, scores: ArrayLike) -> Calibration | None:
    """Return slope and intercept by Newton's method, or None when the rows do not define them.

    Source: Cox, Two Further Applications of a Model for Binary Regression, Biometrika 45 (1958).
    """
    truth, probability = aligned(labels, scores)
    if not 0 < truth.sum() < truth.size:
        return None
    with np.errstate(divide="ignore"):
        odds = np.clip(np.log(probability) - np.log1p(-probability), -_FARTHEST, _FARTHEST)
    design = np.column_stack([np.ones_like(odds), odds])
    line = np.array([0.0, 1.0])
    for _ in range(_STEPS):
        fitted = 1 / (1 + np.exp(-np.clip(design @ line, -30, 30)))
        hessian = design.T @ (design * (fitted * (1 - fitted))[:, None])
        if np.linalg.cond(hessian) > 1 / np.finfo(np.float64).eps:
            return None
        step = np.linalg.solve(hessian, design.T @ (truth - fitted))
        line += step
        if np.abs(step).max() < _TOLERANCE:
            return Calibration(slope=float(line[1]), intercept=float(line[0]))
    return None
