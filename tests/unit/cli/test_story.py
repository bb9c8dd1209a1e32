"""The story says what matters, in one line an event, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from everloop.cli.demo.story import line_of
from everloop.kernel.events import Event


def _event(kind: str, **payload: Any) -> Event:
    time = datetime(2013, 3, 3, tzinfo=UTC)
    return Event(
        position=1,
        id="e",
        time=time,
        actor="system:loop",
        kind=kind,
        subject="cycle:1",
        payload=payload,
        hash="",
    )


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("promoted", "PROMOTED"),
        ("rejected", "REFUSED"),
        ("rolled_back", "ROLLED BACK"),
        ("gating", "trained"),
    ],
)
def test_a_cycle_says_its_number_its_verdict_and_why(state: str, words: str) -> None:
    line = line_of(_event(f"cycle.{state}", number=4, reason="because"))
    assert line.startswith("cycle 4")
    assert words in line
    assert line.endswith("because")


def test_a_paging_alert_is_told_and_drift_is_not() -> None:
    assert "too high" in line_of(_event("alert.fired", severity="page", message="loss is too high"))
    assert line_of(_event("alert.fired", severity="info", message="temperature drifts")) == ""


def test_everyday_events_are_left_out() -> None:
    assert line_of(_event("dataset.versioned", rows=5)) == ""
    assert line_of(_event("cycle.checking_data", number=1, reason="x")) == ""


def test_a_long_reason_is_cut() -> None:
    assert len(line_of(_event("cycle.rejected", number=1, reason="x" * 1000))) < 300
