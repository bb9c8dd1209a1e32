"""Laws of evaluation, on generated rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.evaluation.comparison import compare
from everloop.evaluation.intervals import estimate
from everloop.evaluation.metrics import auc

ROWS = st.lists(st.tuples(st.booleans(), st.integers(1, 9)), min_size=4, max_size=60).filter(
    lambda rows: 0 < sum(label for label, _ in rows) < len(rows)
)


@given(ROWS)
def test_auc_is_the_share_of_pairs_in_order(rows: list[tuple[bool, int]]) -> None:
    high = [score for label, score in rows if label]
    low = [score for label, score in rows if not label]
    pairs = sum(1.0 if a > b else 0.5 if a == b else 0.0 for a in high for b in low)
    assert auc([r[0] for r in rows], [r[1] for r in rows]) == pytest.approx(pairs / (len(high) * len(low)))


@given(ROWS)
def test_auc_keeps_under_monotone_change_and_mirrors_under_negation(rows: list[tuple[bool, int]]) -> None:
    labels, scores = np.array([r[0] for r in rows]), np.array([r[1] for r in rows], dtype=float)
    assert auc(labels, np.exp(scores)) == pytest.approx(auc(labels, scores))
    assert auc(labels, -scores) == pytest.approx(1 - auc(labels, scores))


@given(ROWS)
def test_an_estimate_does_not_depend_on_the_order_of_rows(rows: list[tuple[bool, int]]) -> None:
    order = np.random.default_rng(len(rows)).permutation(len(rows))
    labels, scores = np.array([r[0] for r in rows]), np.array([r[1] / 10 for r in rows])
    for metric in ("auc", "log_loss", "brier"):
        assert estimate(metric, labels, scores).value == pytest.approx(
            estimate(metric, labels[order], scores[order]).value
        )


@given(ROWS)
def test_swapping_the_models_turns_the_gain_round(rows: list[tuple[bool, int]]) -> None:
    labels, old = np.array([r[0] for r in rows]), np.array([r[1] / 10 for r in rows])
    new = old[::-1].copy()
    for metric in ("auc", "log_loss"):
        there = compare(labels, old, new, metric=metric).gain.value
        back = compare(labels, new, old, metric=metric).gain.value
        assert there == pytest.approx(-(back or 0.0), abs=1e-12)
