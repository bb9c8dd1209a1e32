"""The gate's decision: each condition passes, fails, or has too little to go by.

Pure: facts in, reports out. Tests: tests/unit/registry/test_rules.py.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from everloop.core.durations import parse_duration
from everloop.evaluation.records import Comparison
from everloop.registry.records import ConditionReport, GateResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from everloop.registry.records import Condition, Gate


class GateFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the gate knows about its rows.

    Attributes:
        oldest, newest: event times of the first and last row; None without rows.
        challenger_until, champion_until: time of the newest row each was trained on; None when it is not known.
        comparisons: one for each condition, in order; empty when no row has a label.
    """

    rows: int
    labelled: int
    oldest: datetime | None
    newest: datetime | None
    now: datetime
    challenger_until: datetime | None
    champion_until: datetime | None
    has_champion: bool
    comparisons: list[Comparison]


def judge(gate: Gate, facts: GateFacts) -> list[ConditionReport]:
    """Return how each condition came out: enough rows, fresh rows, no leakage, then the metrics."""
    reports = [
        _at_least("min_rows", facts.rows, gate.min_rows, "rows"),
        _at_least("min_labelled", facts.labelled, gate.min_labelled, "labelled rows"),
        _fresh(gate, facts),
        _no_leak("challenger", facts.challenger_until, facts.oldest),
    ]
    if facts.has_champion:
        reports.append(_no_leak("champion", facts.champion_until, facts.oldest))
    if not facts.comparisons:
        return [
            *reports,
            *(_say(_name(c), "insufficient", "no labelled row to compare on") for c in gate.conditions),
        ]
    return [
        *reports,
        *(_metric(c, found) for c, found in zip(gate.conditions, facts.comparisons, strict=True)),
    ]


def overall(reports: Sequence[ConditionReport]) -> GateResult:
    """Return `fail` when any condition failed, else `insufficient` when any has too little, else `pass`."""
    results = {report.result for report in reports}
    return "fail" if "fail" in results else "insufficient" if "insufficient" in results else "pass"


def _at_least(name: str, count: int, needed: int, noun: str) -> ConditionReport:
    return _say(name, "pass" if count >= needed else "insufficient", f"{count} {noun}, {needed} needed")


def _fresh(gate: Gate, facts: GateFacts) -> ConditionReport:
    if not gate.max_age:
        return _say("max_age", "pass", "any age is accepted")
    if facts.newest is None:
        return _say("max_age", "insufficient", "there are no rows")
    age = facts.now - facts.newest
    result: GateResult = "pass" if age <= parse_duration(gate.max_age) else "fail"
    return _say(
        "max_age",
        result,
        f"the newest row is {age.total_seconds() / 86400:.1f} days old, {gate.max_age} allowed",
    )


def _no_leak(who: str, trained_until: datetime | None, oldest: datetime | None) -> ConditionReport:
    name = f"unseen_by_{who}"
    if oldest is None:
        return _say(name, "insufficient", "there are no rows")
    if trained_until is None:
        return _say(
            name,
            "insufficient",
            f"until when the {who} was trained is not known; register it with trained_until",
        )
    result: GateResult = "pass" if oldest > trained_until else "fail"
    return _say(
        name,
        result,
        f"the {who} was trained until {trained_until:%Y-%m-%d %H:%M}, the rows begin {oldest:%Y-%m-%d %H:%M}",
    )


def _metric(condition: Condition, found: Comparison) -> ConditionReport:
    outcome = found.verdict.outcome
    accepted = {"better"} if condition.require == "better" else {"better", "non_inferior"}
    reason = f"{outcome}: {'; '.join(found.verdict.reasons)}"
    if outcome in accepted:
        return _say(_name(condition), "pass", reason)
    return _say(_name(condition), "insufficient" if outcome == "not_enough_data" else "fail", reason)


def _name(condition: Condition) -> str:
    return f"{condition.require}:{condition.metric}"


def _say(name: str, result: GateResult, reason: str) -> ConditionReport:
    return ConditionReport(name=name, result=result, reason=reason)
