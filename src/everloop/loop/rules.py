"""Every decision of the loop, pure: facts in, verdict with its reason out.

Tests: tests/unit/loop/test_rules.py, tests/property/test_loop.py.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from everloop.core.durations import format_duration, parse_duration
from everloop.loop.records import CanaryFacts, CanaryVerdict, Rollout, Trigger, TriggerFacts, TriggerVerdict

if TYPE_CHECKING:
    from collections.abc import Mapping

BUDGET_WINDOW = timedelta(days=30)
# Two-sided 95 % of a normal; a canary is judged on differences of means of hundreds of rows and more.
_Z = 1.96


def should_begin(trigger: Trigger, facts: TriggerFacts) -> TriggerVerdict:
    """Decide whether a cycle begins.

    The order matters: budget and cooldown hold back even an alert, so that a broken stream cannot start a storm of retraining.
    """
    if not facts.has_champion and facts.last_began_at is None:
        return _yes("there is no version yet: the first one is trained")
    cause = _cause(trigger, facts)
    if not cause:
        return _no("no alert is open and the schedule is not due")
    if facts.recent >= trigger.budget:
        return _no(f"{cause}; but the budget of {trigger.budget} cycles in 30 days is used up")
    if facts.last_began_at is not None and facts.now - facts.last_began_at < parse_duration(trigger.cooldown):
        return _no(
            f"{cause}; but the last cycle began {format_age(facts.now - facts.last_began_at)} ago and cools down {trigger.cooldown}"
        )
    if facts.labelled < trigger.min_labelled:
        return _no(
            f"{cause}; but only {facts.labelled:,} of the {trigger.min_labelled:,} labels needed have arrived"
        )
    return _yes(cause)


def _cause(trigger: Trigger, facts: TriggerFacts) -> str:
    if trigger.on_alert and facts.alerts:
        return f"alert: {facts.alerts[0]}"
    if not trigger.every or facts.last_began_at is None:
        return ""
    if facts.now - facts.last_began_at >= parse_duration(trigger.every):
        return f"schedule: {trigger.every} since the last cycle"
    return ""


def judge_canary(
    rollout: Rollout, canary: CanaryFacts, stable: CanaryFacts, *, elapsed: timedelta
) -> CanaryVerdict:
    """Decide about a running canary step.

    A hard fault rolls back at once; the step advances when it has lasted long enough and seen enough rows without one. Scores and losses
    are compared with those of the stable version in the same time, so that a common change of the traffic accuses nobody.
    """
    if fault := _fault(rollout, canary, stable):
        return CanaryVerdict(action="roll_back", reason=fault)
    if elapsed < parse_duration(rollout.step):
        return CanaryVerdict(action="hold", reason=f"the step lasts {rollout.step}")
    if canary.rows < rollout.min_rows:
        return CanaryVerdict(
            action="hold", reason=f"{canary.rows} of the {rollout.min_rows} predictions needed"
        )
    quality = (
        f", loss {canary.loss:.3f} against {stable.loss:.3f}" if canary.labelled and stable.labelled else ""
    )
    shift = abs(canary.mean_score - stable.mean_score)
    return CanaryVerdict(
        action="advance",
        reason=f"{canary.rows:,} predictions without fault, mean score {shift:.3f} from the stable one's{quality}",
    )


def _fault(rollout: Rollout, canary: CanaryFacts, stable: CanaryFacts) -> str:
    if canary.invalid:
        return f"{canary.invalid} predictions of the canary are not finite numbers"
    asked = canary.rows + canary.errors
    if asked >= rollout.min_rows and canary.errors / asked > rollout.max_error_rate:
        return f"{canary.errors} of {asked} predictions of the canary failed, {rollout.max_error_rate:.1%} is allowed"
    if min(canary.rows, stable.rows) < rollout.min_rows:
        return ""
    shift = abs(canary.mean_score - stable.mean_score)
    if shift > rollout.max_score_shift:
        return (
            f"the canary's mean score is {canary.mean_score:.3f}, the stable version's {stable.mean_score:.3f} on the same days: "
            f"a shift of {shift:.3f}, {rollout.max_score_shift} is allowed"
        )
    return _loss_fault(rollout, canary, stable)


def _loss_fault(rollout: Rollout, canary: CanaryFacts, stable: CanaryFacts) -> str:
    if min(canary.labelled, stable.labelled) < rollout.min_rows:
        return ""
    excess = canary.loss - stable.loss
    least = excess - _Z * math.hypot(canary.loss_error, stable.loss_error)
    if least <= rollout.max_loss_excess:
        return ""
    return f"the canary's loss on labelled rows is {canary.loss:.3f} against {stable.loss:.3f}: surely worse by {least:.3f} or more"


def weights(champion: int, challenger: int, percent: int) -> dict[int, int]:
    """Return the traffic weights of a canary step, in percent."""
    return {champion: 100 - percent, challenger: percent}


def describe_weights(given: Mapping[int, int]) -> str:
    """Return weights as text, `v3 90 %, v4 10 %`."""
    return ", ".join(f"v{version} {share} %" for version, share in sorted(given.items()))


def training_cut(now: datetime, holdout: str, *, has_champion: bool) -> datetime:
    """Return until when training may read: all of the past for the first version, else all but the holdout."""
    return now - parse_duration(holdout) if has_champion else now


def format_age(age: timedelta) -> str:
    """Return a duration for people, whole hours or days."""
    hours = round(age.total_seconds() / 3600)
    return format_duration(timedelta(hours=hours)) if hours < 48 else f"{age.days}d"  # noqa: PLR2004 - two days


def _yes(reason: str) -> TriggerVerdict:
    return TriggerVerdict(begins=True, reason=reason)


def _no(reason: str) -> TriggerVerdict:
    return TriggerVerdict(begins=False, reason=reason)
