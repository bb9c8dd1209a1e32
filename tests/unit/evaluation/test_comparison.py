"""A comparison finds planted differences and refuses to guess."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from everloop.evaluation.comparison import compare, discordance

if TYPE_CHECKING:
    from everloop.evaluation.metrics import FloatArray


def planted(rows: int, seed: int = 0) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Labels, the true probability, and the same with its odds shifted (a worse model)."""
    generator = np.random.default_rng(seed)
    odds = generator.normal(size=rows)
    truth = 1 / (1 + np.exp(-odds))
    labels = (generator.random(rows) < truth).astype(np.float64)
    return labels, truth, 1 / (1 + np.exp(-(odds * 0.3 + 0.5)))


@pytest.mark.parametrize("metric", ["auc", "log_loss", "brier"])
def test_a_model_is_non_inferior_to_itself_at_any_margin(metric: str) -> None:
    labels, good, _ = planted(2_000)
    found = compare(labels, good, good, metric=metric, margin=1e-6)
    assert found.gain.value == 0
    assert found.verdict.outcome == "non_inferior"


@pytest.mark.parametrize("metric", ["log_loss", "brier"])
def test_a_planted_difference_is_found_in_both_directions(metric: str) -> None:
    labels, good, bad = planted(4_000)
    assert compare(labels, bad, good, metric=metric).verdict.outcome == "better"
    assert compare(labels, good, bad, metric=metric).verdict.outcome == "worse"


def test_few_rows_are_not_enough_data() -> None:
    labels, good, bad = planted(50)
    found = compare(labels, bad, good)
    assert found.verdict.outcome == "not_enough_data"
    assert "50 rows, at least 100" in found.verdict.reasons[0]


def test_few_blocks_are_not_enough_data() -> None:
    labels, good, bad = planted(1_000)
    found = compare(labels, bad, good, blocks=np.arange(1_000) % 3)
    assert found.verdict.reasons == ["3 independent blocks, at least 5 are needed"]


def test_mcnemar_counts_only_the_rows_the_two_models_disagree_on() -> None:
    # the challenger alone is right on 8 rows, the champion alone on 1: exact p = 2 * (1 + 9) / 2**9
    labels = [1] * 9 + [0]
    champion = [0.1] * 8 + [0.9] + [0.1]
    challenger = [0.9] * 8 + [0.1] + [0.1]
    assert discordance(labels, champion, challenger) == pytest.approx(20 / 512)
    assert discordance(labels, champion, champion) == 1.0
