"""The alert's state machine, as pure decisions. Tests: tests/unit/alerting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from everloop.alerting.records import Memory, Observation, Severity, Verdict
from everloop.core.durations import parse_duration

if TYPE_CHECKING:
    from datetime import datetime

_RANK = {"info": 0, "warn": 1, "page": 2}


def judge(memory: Memory, seen: Observation) -> tuple[Verdict, Memory]:
    """Return what an observation leads to and what is remembered.

    An observation that is not newer than the last one changes nothing, so that a window may be judged again. Insufficient data is
    remembered neither as good nor as bad.
    """
    if memory.last_at is not None and seen.at <= memory.last_at:
        return Verdict(action="none", reason="this window was judged before"), memory
    if seen.state == "insufficient":
        kept = msgspec.structs.replace(memory, last_at=seen.at)
        return Verdict(action="none", reason="insufficient data is neither good nor bad"), kept
    recent = (*memory.recent, seen.state)[-seen.rule.of :]
    memory = msgspec.structs.replace(memory, recent=recent, last_at=seen.at)
    bad = recent.count("bad")
    if memory.open_alert:
        return _while_open(memory, seen, bad)
    if bad < seen.rule.needed or seen.state == "ok":
        return Verdict(
            action="none", reason=f"{bad} of the last {len(recent)} are bad, {seen.rule.needed} are needed"
        ), memory
    if cooling := _cooling(memory, seen):
        return Verdict(action="none", reason=cooling), memory
    return Verdict(action="fire", reason=f"{bad} of the last {len(recent)} windows are bad"), memory


def _while_open(memory: Memory, seen: Observation, bad: int) -> tuple[Verdict, Memory]:
    if bad == 0:
        ended = msgspec.structs.replace(
            memory,
            open_alert="",
            last_ended_at=seen.at,
            last_severity=memory.open_severity,
            open_severity="info",
        )
        return Verdict(action="resolve", reason=f"the last {len(memory.recent)} windows are good"), ended
    return Verdict(action="repeat", reason="still open"), memory


def _cooling(memory: Memory, seen: Observation) -> str:
    if memory.last_ended_at is None or _RANK[seen.rule.severity] > _RANK[memory.last_severity]:
        return ""
    until = memory.last_ended_at + parse_duration(seen.rule.cooldown)
    return f"cooling down until {until:%Y-%m-%d %H:%M}" if seen.at < until else ""


def is_at_least(severity: Severity, other: Severity) -> bool:
    """Return whether a severity is as high as another, or higher."""
    return _RANK[severity] >= _RANK[other]


def opened(memory: Memory, alert: str, seen: Observation) -> Memory:
    """Return the memory after an alert was opened."""
    return msgspec.structs.replace(memory, open_alert=alert, open_severity=seen.rule.severity)


def closed_by_hand(memory: Memory, now: datetime) -> Memory:
    """Return the memory after a cycle or a person ended the alert: its windows spoke of what is gone."""
    return msgspec.structs.replace(
        memory,
        open_alert="",
        recent=(),
        last_ended_at=now,
        last_severity=memory.open_severity,
        open_severity="info",
    )


def backoff_s(attempts: int) -> float:
    """Return the pause before the next try of a delivery: 1, 2, 4 ... seconds, ten minutes at most."""
    return float(min(600, 2 ** max(0, attempts - 1)))
