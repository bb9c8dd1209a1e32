"""The alert's state machine: persistence, cooldown, third state, repetition, end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from everloop.alerting.records import AlertRule, Memory, Observation
from everloop.alerting.rules import backoff_s, closed_by_hand, is_at_least, judge, opened

if TYPE_CHECKING:
    from everloop.alerting.records import Severity, State

START = datetime(2013, 2, 1, tzinfo=UTC)
WORDS: dict[str, State] = {"b": "bad", "g": "ok", "?": "insufficient"}


def seen(
    letter: str, day: float, *, severity: Severity = "page", needed: int = 2, of: int = 3
) -> Observation:
    rule = AlertRule(name="log_loss", severity=severity, needed=needed, of=of, cooldown="3d")
    return Observation(
        rule=rule, subject="deployment:x", state=WORDS[letter], at=START + timedelta(days=day), message="m"
    )


def play(
    letters: str, *, needed: int = 2, of: int = 3, memory: Memory | None = None, day: int = 0
) -> list[str]:
    """Return the action after each day's window."""
    memory = memory or Memory()
    actions: list[str] = []
    for offset, letter in enumerate(letters):
        observation = seen(letter, day + offset, needed=needed, of=of)
        verdict, memory = judge(memory, observation)
        if verdict.action == "fire":
            memory = opened(memory, "a", observation)
        actions.append(verdict.action)
    return actions


@pytest.mark.parametrize(
    ("letters", "actions"),
    [
        ("b", "none"),
        ("bb", "none fire"),
        ("bgb", "none none fire"),
        ("bggb", "none none none none"),
        ("bbg", "none fire repeat"),
        ("bbggg", "none fire repeat repeat resolve"),
        ("bbggb", "none fire repeat repeat repeat"),
        ("b?b", "none none fire"),
        ("??????", "none none none none none none"),
        ("bb?g?g?g", "none fire none repeat none repeat none resolve"),
    ],
)
def test_two_bad_of_three_fire_and_three_good_resolve(letters: str, actions: str) -> None:
    assert play(letters) == actions.split()


def test_one_of_one_fires_at_once_and_resolves_at_once() -> None:
    assert play("bbg", needed=1, of=1) == ["fire", "repeat", "resolve"]


def test_a_good_window_never_fires_even_after_bad_ones_in_a_cooldown() -> None:
    memory = Memory(recent=("bad", "bad"), last_ended_at=START - timedelta(days=9), last_severity="page")

    assert play("g", memory=memory) == ["none"]


def test_a_window_that_was_judged_changes_nothing() -> None:
    _, memory = judge(Memory(), seen("b", 1))

    for day in (1, 0.5):
        verdict, after = judge(memory, seen("b", day))
        assert (verdict.action, after) == ("none", memory)


def test_after_an_end_the_rule_stays_silent_for_its_cooldown() -> None:
    memory = Memory(last_ended_at=START, last_severity="page")

    # Days 1 and 2 lie within three days, day 3 no longer.
    assert play("bbb", memory=memory, day=1) == ["none", "none", "fire"]


@pytest.mark.parametrize(("severity", "action"), [("info", "none"), ("warn", "none"), ("page", "fire")])
def test_a_higher_severity_breaks_the_cooldown(severity: Severity, action: str) -> None:
    memory = Memory(recent=("bad",), last_ended_at=START, last_severity="warn")

    verdict, _ = judge(memory, seen("b", 1, severity=severity))

    assert verdict.action == action


def test_what_a_person_closes_forgets_its_windows_and_cools_down() -> None:
    _, memory = judge(Memory(recent=("bad",)), seen("b", 0))
    memory = closed_by_hand(opened(memory, "a", seen("b", 0)), START)

    assert (memory.open_alert, memory.recent, memory.last_severity) == ("", (), "page")
    assert play("bb", memory=memory, day=1) == ["none", "none"]


def test_every_verdict_says_why() -> None:
    memory = Memory()
    for day, letter in enumerate("b?bbggg"):
        verdict, memory = judge(memory, seen(letter, day))
        assert len(verdict.reason.split()) > 1


def test_the_pause_between_deliveries_doubles_up_to_ten_minutes() -> None:
    assert [backoff_s(attempts) for attempts in (0, 1, 2, 3, 10, 11, 500)] == [1, 1, 2, 4, 512, 600, 600]


def test_severities_have_an_order() -> None:
    assert is_at_least("page", "warn")
    assert is_at_least("warn", "warn")
    assert not is_at_least("info", "warn")
