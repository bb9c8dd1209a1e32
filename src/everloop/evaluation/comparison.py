"""Two models on the same rows: the gain of the challenger over the champion, with its interval and verdict.

Pairing removes what both models find hard, so a difference of 0.003 shows in some thousand rows where two separate
intervals would overlap. Tests: tests/unit/evaluation/test_comparison.py.
"""

from __future__ import annotations

from math import comb
from typing import TYPE_CHECKING

import numpy as np

from everloop.evaluation import rules
from everloop.evaluation.intervals import auc_gain, estimate, mean_gain
from everloop.evaluation.metrics import aligned, losses
from everloop.evaluation.records import Comparison, Estimate

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

# Above this many discordant pairs the exact binomial sum and its normal approximation agree to four digits.
_EXACT_PAIRS = 2_000


def compare(
    labels: ArrayLike,
    champion: ArrayLike,
    challenger: ArrayLike,
    *,
    metric: str = "log_loss",
    margin: float = 0.0,
    min_gain: float = 0.0,
    blocks: ArrayLike | None = None,
    seed: int = 0,
) -> Comparison:
    """Compare two models on the same rows.

    Args:
        labels: n values; 0 or 1 for AUC, log-loss and Brier score.
        champion: n scores of the model that serves.
        challenger: n scores of the model that wants to.
        metric: `auc`, `log_loss`, `brier`, `squared_error` or `absolute_error`.
        margin: the loss of quality still accepted, in the metric's unit.
        min_gain: what the lower bound must exceed to be called better.
        blocks: n names of independent groups of rows, such as days.
        seed: seeds the bootstrap; the same seed gives the same interval.
    """
    gain = _gain(metric, labels, champion, challenger, blocks=blocks, seed=seed)
    return Comparison(
        metric=metric,
        champion=estimate(metric, labels, champion, blocks=blocks),
        challenger=estimate(metric, labels, challenger, blocks=blocks),
        gain=gain,
        margin=margin,
        verdict=rules.verdict(gain, margin=margin, min_gain=min_gain),
    )


def discordance(
    labels: ArrayLike, champion: ArrayLike, challenger: ArrayLike, *, threshold: float = 0.5
) -> float:
    """Return the two-sided p-value of McNemar's test on decisions at a threshold.

    It asks whether the rows only the champion gets right and the rows only the challenger gets right are equally many.
    Exact up to 2,000 such rows, by the continuity-corrected normal law above.
    """
    truth, old = aligned(labels, champion)
    _, new = aligned(labels, challenger)
    old_right = (old >= threshold) == (truth > 0)
    new_right = (new >= threshold) == (truth > 0)
    only_old, only_new = int((old_right & ~new_right).sum()), int((new_right & ~old_right).sum())
    return _binomial_p(min(only_old, only_new), only_old + only_new)


def _binomial_p(fewer: int, pairs: int) -> float:
    if not pairs:
        return 1.0
    if pairs <= _EXACT_PAIRS:
        tail = sum(comb(pairs, k) for k in range(fewer + 1))
        return min(1.0, 2 * tail / (1 << pairs))
    from statistics import NormalDist

    return min(1.0, 2 * NormalDist().cdf(-(pairs - 2 * fewer - 1) / pairs**0.5))


def _gain(
    metric: str,
    labels: ArrayLike,
    champion: ArrayLike,
    challenger: ArrayLike,
    *,
    blocks: ArrayLike | None,
    seed: int,
) -> Estimate:
    if metric == "auc":
        return auc_gain(labels, champion, challenger, blocks=blocks)
    gains = losses(metric, labels, champion) - losses(metric, labels, challenger)
    return mean_gain(gains, blocks=blocks, generator=np.random.default_rng(seed))
