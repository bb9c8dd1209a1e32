"""Contributions add up, and importance follows from them."""

from __future__ import annotations

import numpy as np
import pytest

from everloop.explanation.contributions import (
    NotAdditiveError,
    check_additive,
    importances,
    linear_contributions,
)


def test_linear_contributions_are_weight_times_distance_from_the_centre() -> None:
    matrix = np.array([[1.0, 2.0], [3.0, 0.0]])
    found = linear_contributions(
        matrix, weights=np.array([2.0, -1.0]), intercept=0.5, center=np.array([1.0, 1.0])
    )
    # margin 2a - b + 0.5; base at (1, 1) is 1.5
    assert found.tolist() == [[0.0, -1.0, 1.5], [4.0, 1.0, 1.5]]
    check_additive(found, matrix @ np.array([2.0, -1.0]) + 0.5)


def test_contributions_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(NotAdditiveError, match="miss the margin by 1"):
        check_additive(np.array([[1.0, 0.0]]), np.array([2.0]))


def test_importance_is_the_mean_absolute_contribution_largest_first() -> None:
    found = importances(np.array([[1.0, -3.0, 9.0], [-1.0, 3.0, 9.0]]), ["a", "b"])
    assert [(item.feature, item.mean_absolute, item.share) for item in found] == [
        ("b", 3.0, 0.75),
        ("a", 1.0, 0.25),
    ]
