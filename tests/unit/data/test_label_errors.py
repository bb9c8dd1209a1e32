"""Confident learning on a case that can be done by hand."""

from __future__ import annotations

import numpy as np

from everloop.data.label_errors import confident_suspects


def test_a_row_is_a_suspect_when_it_is_confidently_of_another_class() -> None:
    # Thresholds: class 0 mean of 0.9, 0.8, 0.1 = 0.6; class 1 mean of 0.8, 0.7, 0.3 = 0.6.
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.3, 0.7], [0.7, 0.3]])
    labels = np.array([0, 0, 0, 1, 1, 1])

    found = confident_suspects(probabilities, labels)

    assert found.rows.tolist() == [2, 5]  # the one with the lower margin first
    assert found.classes.tolist() == [1, 0]
    assert np.allclose(found.margins, [-0.8, -0.4])


def test_a_row_that_is_confident_of_no_class_is_no_suspect() -> None:
    probabilities = np.array([[0.9, 0.1], [0.45, 0.55], [0.1, 0.9]])

    assert confident_suspects(probabilities, np.array([0, 0, 1])).rows.tolist() == []
