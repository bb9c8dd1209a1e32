"""The decision about a canary: advance, hold, or roll back, with the reasons.

Pure. Hard failures (errors, answers that are no numbers) act at once; soft ones need a minimum of rows; quality speaks
when labels are there. Tests: tests/unit/serving/test_rules.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from everloop.serving.records import CanaryVerdict

if TYPE_CHECKING:
    from everloop.serving.records import CanaryFacts, CanaryLimits

# Fewer failures than this prove nothing, whatever their share.
_FEWEST_FAILURES = 3


def canary_verdict(facts: CanaryFacts, limits: CanaryLimits) -> CanaryVerdict:
    """Return what to do with a canary.

    Args:
        facts: what was seen since its share was last changed.
        limits: when to stop or wait.
    """
    bad = [reason for reason in (*_broken(facts, limits), *_worse(facts, limits)) if reason]
    if bad:
        return CanaryVerdict(action="roll_back", reasons=bad)
    if facts.predictions < limits.min_predictions:
        reason = f"{facts.predictions} predictions so far, {limits.min_predictions} needed"
        return CanaryVerdict(action="hold", reasons=[reason])
    return CanaryVerdict(
        action="advance", reasons=[f"{facts.predictions} predictions without a fault", *_quality_note(facts)]
    )


def _broken(facts: CanaryFacts, limits: CanaryLimits) -> list[str]:
    reasons = []
    excess = facts.errors - _share(facts.main_errors, facts.main_requests) * facts.requests
    if excess >= _FEWEST_FAILURES and excess > limits.max_error_rate * facts.requests:
        reasons.append(
            f"{facts.errors} of {facts.requests} requests failed, {limits.max_error_rate:.1%} allowed"
        )
    wrong = facts.not_finite + facts.out_of_range
    if wrong >= _FEWEST_FAILURES and wrong > limits.max_error_rate * facts.predictions:
        reasons.append(
            f"{facts.not_finite} answers are not finite and {facts.out_of_range} out of range, of {facts.predictions}"
        )
    if facts.mismatched >= _FEWEST_FAILURES:
        reasons.append(
            f"{facts.mismatched} of {facts.predictions} answers differ from what the registered model says for the same inputs"
        )
    return reasons


def _worse(facts: CanaryFacts, limits: CanaryLimits) -> list[str]:
    reasons = []
    enough = facts.predictions >= limits.min_predictions
    if enough and facts.score_shift is not None and facts.score_shift > limits.max_score_shift:
        reasons.append(
            f"scores are shifted by {facts.score_shift:.3f} against the main version, {limits.max_score_shift} allowed"
        )
    if enough and _is_slow(facts, limits):
        reasons.append(
            f"p99 latency is {facts.latency_p99_us:.0f} µs, that of the main version {facts.main_latency_p99_us:.0f} µs"
        )
    high = facts.quality_gain_high
    if facts.quality_rows >= limits.min_quality_rows and high is not None and high < -limits.quality_margin:
        reasons.append(
            f"on {facts.quality_rows} labelled rows it is worse by at least {-high:.4f}, {limits.quality_margin} allowed"
        )
    return reasons


def _is_slow(facts: CanaryFacts, limits: CanaryLimits) -> bool:
    if facts.latency_p99_us is None or facts.main_latency_p99_us is None:
        return False
    return facts.latency_p99_us > max(
        limits.min_latency_us, limits.max_latency_ratio * facts.main_latency_p99_us
    )


def _quality_note(facts: CanaryFacts) -> list[str]:
    if facts.quality_gain_low is None or facts.quality_gain_high is None:
        return []
    low, high = facts.quality_gain_low, facts.quality_gain_high
    return [f"gain {low:+.4f} to {high:+.4f} on {facts.quality_rows} labelled rows"]


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
