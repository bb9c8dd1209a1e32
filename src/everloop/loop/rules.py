"""Every decision of the loop, pure: facts in, verdict with its reason out.

Tests: tests/unit/loop/test_rules.py.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from everloop.core.durations import format_duration, parse_duration
from everloop.loop.records import Rollout, Trigger, TriggerFacts, TriggerVerdict
from everloop.serving.records import CanaryFacts, CanaryVerdict
from everloop.serving.rules import canary_verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

BUDGET_WINDOW = timedelta(days=30)


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
    # Without a champion nothing is served, so no label can ever arrive.
    if facts.has_champion and facts.labelled < trigger.min_labelled:
        return _no(
            f"{cause}; but only {facts.labelled:,} of the {trigger.min_labelled:,} labels needed have arrived"
        )
    return _yes(cause)


def _cause(trigger: Trigger, facts: TriggerFacts) -> str:
    if not facts.has_champion:
        return "there is no version yet, for no earlier cycle brought one"
    if trigger.on_alert and facts.alerts:
        return f"alert: {facts.alerts[0]}"
    if not trigger.every or facts.last_began_at is None:
        return ""
    if facts.now - facts.last_began_at >= parse_duration(trigger.every):
        return f"schedule: {trigger.every} since the last cycle"
    return ""


def judge_canary(rollout: Rollout, facts: CanaryFacts, *, elapsed: timedelta) -> CanaryVerdict:
    """Decide about a running canary step: a fault goes back at once, and no step advances before its time is over."""
    verdict = canary_verdict(facts, rollout.limits)
    if verdict.action == "advance" and elapsed < parse_duration(rollout.step):
        return CanaryVerdict(action="hold", reasons=[f"the step lasts {rollout.step}"])
    return verdict


def weights(champion: int, challenger: int, percent: int) -> dict[int, float]:
    """Return the traffic shares of a canary step."""
    return {champion: (100 - percent) / 100, challenger: percent / 100}


def describe_weights(given: Mapping[int, float]) -> str:
    """Return shares as text, `v3 90 %, v4 10 %`."""
    return ", ".join(f"v{version} {share:.0%}" for version, share in sorted(given.items()))


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
