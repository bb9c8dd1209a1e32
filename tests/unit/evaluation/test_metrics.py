"""Metrics give known answers, and those of scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics as reference

from everloop.evaluation.metrics import (
    CLIP,
    MisalignedRowsError,
    UnknownMetricError,
    auc,
    losses,
    measure,
)


def test_a_tie_between_a_positive_and_a_negative_counts_one_half() -> None:
    assert auc([0, 1], [0.5, 0.5]) == 0.5
    # pairs: (0.4 over 0.1) 1, (0.4 over 0.4) 1/2, (0.8 over both) 2 -> 3.5 of 4
    assert auc([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8]) == 0.875


def test_auc_of_one_class_is_not_a_number() -> None:
    assert math.isnan(auc([1, 1], [0.1, 0.9]))
    assert math.isnan(auc([0, 0], [0.1, 0.9]))


def test_metrics_agree_with_scikit_learn_on_ties_and_extremes() -> None:
    generator = np.random.default_rng(3)
    labels = generator.integers(0, 2, 500)
    scores = np.round(generator.random(500), 1)

    assert auc(labels, scores) == pytest.approx(reference.roc_auc_score(labels, scores), abs=1e-12)
    assert measure("log_loss", labels, scores) == pytest.approx(reference.log_loss(labels, scores), rel=1e-12)
    assert measure("brier", labels, scores) == pytest.approx(
        reference.brier_score_loss(labels, scores), rel=1e-12
    )


def test_a_certain_wrong_score_costs_the_log_of_the_clip() -> None:
    assert losses("log_loss", [1.0], [0.0])[0] == pytest.approx(-math.log(CLIP))


def test_an_unknown_metric_is_named() -> None:
    with pytest.raises(UnknownMetricError, match="'f1' is not a mean of losses"):
        measure("f1", [0, 1], [0.1, 0.9])


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(MisalignedRowsError, match=r"\(2,\) and scores \(1,\)"):
        measure("brier", [0, 1], [0.1])
