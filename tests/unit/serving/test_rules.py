"""A canary advances, waits or goes back by facts alone."""

from __future__ import annotations

import msgspec
import pytest

from everloop.serving.records import CanaryFacts, CanaryLimits
from everloop.serving.rules import canary_verdict

LIMITS = CanaryLimits(min_predictions=100)
GOOD = CanaryFacts(
    requests=500, errors=0, main_requests=5_000, main_errors=5, predictions=500, not_finite=0, out_of_range=0,
    latency_p99_us=900, main_latency_p99_us=800, score_shift=0.05,
)  # fmt: skip


def test_a_healthy_canary_with_enough_rows_advances() -> None:
    assert canary_verdict(GOOD, LIMITS).action == "advance"


def test_a_young_canary_waits() -> None:
    young = msgspec.structs.replace(GOOD, predictions=99)
    assert canary_verdict(young, LIMITS).reasons == ["99 predictions so far, 100 needed"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"errors": 50}, "50 of 500 requests failed"),
        ({"predictions": 20, "requests": 20, "errors": 20}, "20 of 20 requests failed"),
        ({"not_finite": 400}, "400 answers are not finite"),
        ({"out_of_range": 40}, "40 out of range"),
        ({"score_shift": 0.7}, "scores are shifted by 0.700"),
        ({"mismatched": 3}, "3 of 500 answers differ"),
        ({"latency_p99_us": 90_000}, "p99 latency is 90000"),
        (
            {"quality_rows": 300, "quality_gain_low": -0.2, "quality_gain_high": -0.1},
            "worse by at least 0.1000",
        ),
    ],
)
def test_one_fault_alone_rolls_back(changes: dict[str, object], reason: str) -> None:
    found = canary_verdict(msgspec.structs.replace(GOOD, **changes), LIMITS)
    assert found.action == "roll_back"
    assert reason in found.reasons[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"errors": 2},
        {"errors": 50, "main_errors": 500},
        {"quality_rows": 300, "quality_gain_low": -0.2, "quality_gain_high": 0.1},
        {"quality_rows": 20, "quality_gain_low": -0.2, "quality_gain_high": -0.1},
        {"latency_p99_us": 19_000},
    ],
)
def test_what_is_no_proof_does_not_roll_back(changes: dict[str, object]) -> None:
    assert canary_verdict(msgspec.structs.replace(GOOD, **changes), LIMITS).action == "advance"
