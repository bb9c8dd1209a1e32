"""The verdict follows from the interval alone."""

from __future__ import annotations

import pytest

from everloop.evaluation.records import Estimate
from everloop.evaluation.rules import verdict


def gain(low: float | None, high: float | None) -> Estimate:
    value = None if low is None or high is None else (low + high) / 2
    return Estimate(value=value, low=low, high=high, rows=1_000, blocks=1_000, method="test")


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [
        (0.001, 0.01, "better"),
        (-0.001, 0.01, "non_inferior"),
        (-0.001, -0.0005, "non_inferior"),
        (-0.02, -0.006, "worse"),
        (-0.02, -0.001, "worse"),
        (-0.02, 0.02, "not_enough_data"),
        (None, None, "not_enough_data"),
    ],
)
def test_an_interval_against_a_margin_of_five_thousandths(
    low: float | None, high: float | None, outcome: str
) -> None:
    found = verdict(gain(low, high), margin=0.005)
    assert found.outcome == outcome
    assert found.reasons


def test_a_minimum_gain_raises_the_bar_for_better() -> None:
    assert verdict(gain(0.001, 0.01), margin=0.0, min_gain=0.002).outcome == "non_inferior"
