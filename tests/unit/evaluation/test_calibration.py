"""Calibration recovers a planted line."""

from __future__ import annotations

import numpy as np
import pytest

from everloop.evaluation.calibration import calibration


def test_scores_twice_too_extreme_have_slope_one_half() -> None:
    generator = np.random.default_rng(2)
    odds = generator.normal(size=50_000)
    labels = generator.random(50_000) < 1 / (1 + np.exp(-odds))
    found = calibration(labels, 1 / (1 + np.exp(-2 * odds)))
    assert found is not None
    assert found.slope == pytest.approx(0.5, abs=0.02)
    assert found.intercept == pytest.approx(0.0, abs=0.03)


def test_one_class_or_one_score_has_no_line() -> None:
    assert calibration([1, 1], [0.2, 0.9]) is None
    assert calibration([0, 1, 0, 1], [0.5, 0.5, 0.5, 0.5]) is None
