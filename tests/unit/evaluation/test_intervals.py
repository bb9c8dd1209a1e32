"""Intervals have their known width, and blocks widen them as they should."""

from __future__ import annotations

import numpy as np
import pytest

from everloop.evaluation.intervals import Z, auc_gain, estimate, mean_gain
from everloop.evaluation.metrics import MisalignedRowsError

LABELS = np.array([0, 0, 0, 1, 1, 1])
SCORES = np.array([0.1, 0.4, 0.35, 0.8, 0.3, 0.9])


def test_delong_variance_of_six_rows_is_the_one_worked_by_hand() -> None:
    # positives 0.8, 0.3, 0.9 beat 3, 1, 3 of 3 negatives: V10 = 1, 1/3, 1 with variance 4/27
    # negatives 0.1, 0.4, 0.35 are beaten by 3, 2, 2 of 3: V01 = 1, 2/3, 2/3 with variance 1/27
    found = estimate("auc", LABELS, SCORES)
    error = ((4 / 27) / 3 + (1 / 27) / 3) ** 0.5

    assert found.value == pytest.approx(7 / 9)
    assert found.low == pytest.approx(7 / 9 - Z * error)
    assert found.high == pytest.approx(7 / 9 + Z * error)


def test_the_normal_interval_of_a_mean_is_two_standard_errors() -> None:
    labels, scores = np.zeros(4), np.array([1.0, 2.0, 3.0, 4.0])
    found = estimate("absolute_error", labels, scores)

    assert found.value == pytest.approx(2.5)
    assert found.high == pytest.approx(2.5 + Z * scores.std(ddof=1) / 2)


def test_rows_repeated_inside_blocks_do_not_shorten_the_interval() -> None:
    generator = np.random.default_rng(1)
    labels, scores = generator.integers(0, 2, 200), generator.random(200)
    repeated = {
        "labels": np.repeat(labels, 5),
        "scores": np.repeat(scores, 5),
        "blocks": np.repeat(np.arange(200), 5),
    }

    for metric in ("auc", "log_loss"):
        once = estimate(metric, labels, scores)
        again = estimate(metric, **repeated)
        assert again.low == pytest.approx(once.low, abs=1e-9)
        assert again.blocks == 200


def test_bootstrap_of_a_gain_agrees_with_the_normal_law_and_repeats_with_its_seed() -> None:
    gains = np.random.default_rng(0).normal(0.01, 0.1, 5_000)
    first = mean_gain(gains, generator=np.random.default_rng(7))
    second = mean_gain(gains, generator=np.random.default_rng(7))
    half = Z * gains.std(ddof=1) / 5_000**0.5

    assert first == second
    assert first.low == pytest.approx(gains.mean() - half, abs=half * 0.1)
    assert first.high == pytest.approx(gains.mean() + half, abs=half * 0.1)


def test_a_gain_in_a_single_block_has_no_interval() -> None:
    found = mean_gain([0.1, 0.2], blocks=["a", "a"], generator=np.random.default_rng(0))
    assert (found.low, found.high) == (None, None)


def test_the_paired_auc_interval_is_shorter_than_two_separate_ones() -> None:
    generator = np.random.default_rng(5)
    signal = generator.normal(size=1_000)
    labels = (signal + generator.normal(size=1_000)) > 0
    old, new = signal + generator.normal(size=1_000) * 0.5, signal + generator.normal(size=1_000) * 0.4
    gain = auc_gain(labels, old, new)
    alone = estimate("auc", labels, new)

    assert gain.value == pytest.approx(
        (estimate("auc", labels, new).value or 0) - (estimate("auc", labels, old).value or 0)
    )
    assert (gain.high or 0) - (gain.low or 0) < 1.4 * ((alone.high or 0) - (alone.low or 0))


def test_the_interval_covers_the_truth_in_about_95_of_100_samples() -> None:
    generator = np.random.default_rng(11)
    covered = 0
    for _ in range(300):
        labels = generator.random(300) < 0.3
        found = estimate("brier", labels, np.full(300, 0.3))
        covered += (found.low or 0) <= 0.21 <= (found.high or 0)
    assert 0.90 <= covered / 300 <= 0.99


def test_blocks_that_do_not_fit_the_rows_are_refused() -> None:
    with pytest.raises(MisalignedRowsError, match="one name for each of the 6 rows"):
        estimate("brier", LABELS, SCORES, blocks=["a"])
