"""When a cycle begins, how a canary moves, until when training reads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from everloop.loop.records import Rollout, Trigger, TriggerFacts
from everloop.loop.rules import (
    describe_weights,
    format_age,
    judge_canary,
    should_begin,
    training_cut,
    weights,
)
from everloop.serving.records import CanaryFacts

NOW = datetime(2013, 7, 1, tzinfo=UTC)
TRIGGER = Trigger(on_alert=True, every="30d", cooldown="7d", min_labelled=1000, budget=3)


def facts(
    *,
    alerts: tuple[str, ...] = (),
    days: float | None = 10,
    recent: int = 1,
    labelled: int = 5000,
    has_champion: bool = True,
) -> TriggerFacts:
    began = None if days is None else NOW - timedelta(days=days)
    return TriggerFacts(
        now=NOW,
        alerts=alerts,
        last_began_at=began,
        recent=recent,
        labelled=labelled,
        has_champion=has_champion,
    )


ALERT = ("log_loss 0.61",)


@pytest.mark.parametrize(
    ("given", "begins", "reason"),
    [
        (facts(days=None, has_champion=False, labelled=0, recent=0), True, "first one"),
        (facts(), False, "no alert is open"),
        (facts(alerts=ALERT), True, "alert: log_loss 0.61"),
        (facts(days=29.9), False, "schedule is not due"),
        (facts(days=30), True, "schedule: 30d"),
        # Budget and cooldown hold back even an alert.
        (facts(alerts=ALERT, recent=3), False, "budget of 3"),
        (facts(alerts=ALERT, days=6.9), False, "cools down 7d"),
        (facts(alerts=ALERT, days=7), True, "alert"),
        (facts(alerts=ALERT, labelled=999), False, "999 of the 1,000 labels"),
        (facts(days=40, recent=3), False, "budget"),
        (facts(days=40, labelled=0), False, "only 0"),
        # Nothing is served without a champion, so no label can be waited for; cooldown and budget still hold.
        (facts(days=8, labelled=0, has_champion=False), True, "no version yet"),
        (facts(days=1, labelled=0, has_champion=False), False, "cools down"),
        (facts(days=8, labelled=0, has_champion=False, recent=3), False, "budget"),
        (facts(days=None, recent=0), False, "no alert"),
        (facts(days=None, recent=0, alerts=ALERT), True, "alert"),
    ],
)
def test_a_cycle_begins_for_a_cause_unless_something_holds_it_back(
    given: TriggerFacts, *, begins: bool, reason: str
) -> None:
    verdict = should_begin(TRIGGER, given)

    assert (verdict.begins, reason in verdict.reason) == (begins, True), verdict.reason


def test_a_policy_may_ignore_alerts_or_the_calendar() -> None:
    assert not should_begin(Trigger(on_alert=False, every=""), facts(alerts=ALERT, days=400)).begins


def canary(*, predictions: int = 500, mismatched: int = 0) -> CanaryFacts:
    return CanaryFacts(
        requests=predictions, errors=0, main_requests=500, main_errors=0, predictions=predictions, not_finite=0,
        out_of_range=0, mismatched=mismatched,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "hours", "action"),
    [
        (canary(), 24, "advance"),
        (canary(), 23.9, "hold"),
        (canary(predictions=10), 240, "hold"),
        (canary(mismatched=400), 0.1, "roll_back"),
        (canary(mismatched=400), 240, "roll_back"),
    ],
)
def test_a_canary_advances_after_its_step_and_goes_back_at_once(
    given: CanaryFacts, hours: float, action: str
) -> None:
    verdict = judge_canary(Rollout(step="1d"), given, elapsed=timedelta(hours=hours))

    assert verdict.action == action
    assert verdict.reasons


def test_the_shares_of_a_step_are_whole() -> None:
    given = weights(3, 4, 10)

    assert given == {3: 0.9, 4: 0.1}
    assert sum(given.values()) == 1
    assert describe_weights(given) == "v3 90%, v4 10%"


def test_the_first_version_learns_from_all_of_the_past_a_challenger_leaves_the_newest_to_the_gate() -> None:
    assert training_cut(NOW, "10d", has_champion=False) == NOW
    assert training_cut(NOW, "10d", has_champion=True) == NOW - timedelta(days=10)


@pytest.mark.parametrize(
    ("age", "text"),
    [
        (timedelta(hours=5), "5h"),
        (timedelta(hours=24), "1d"),
        (timedelta(days=3, hours=5), "3d"),
        (timedelta(0), "0s"),
    ],
)
def test_an_age_is_told_in_hours_or_days(age: timedelta, text: str) -> None:
    assert format_age(age) == text
