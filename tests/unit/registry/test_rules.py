"""The gate decides from facts alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from everloop.evaluation.records import Comparison, Estimate, Outcome, Verdict
from everloop.registry.records import Condition, Gate
from everloop.registry.rules import GateFacts, judge, overall

NOW = datetime(2013, 3, 10, tzinfo=UTC)
GATE = Gate(
    conditions=[Condition(require="non_inferior", metric="log_loss", margin=0.002)],
    min_rows=100,
    min_labelled=100,
)


def facts(outcome: Outcome = "better", **changes: object) -> GateFacts:
    figure = Estimate(value=0.0, low=0.0, high=0.0, rows=200, blocks=9, method="test")
    compared = Comparison(
        metric="log_loss",
        champion=figure,
        challenger=figure,
        gain=figure,
        margin=0.002,
        verdict=Verdict(outcome=outcome, reasons=["because"]),
    )
    fresh = GateFacts(
        rows=200,
        labelled=150,
        oldest=NOW - timedelta(days=9),
        newest=NOW - timedelta(days=1),
        now=NOW,
        challenger_until=NOW - timedelta(days=10),
        champion_until=NOW - timedelta(days=40),
        has_champion=True,
        comparisons=[compared],
    )
    return msgspec.structs.replace(fresh, **changes)


def test_a_better_challenger_on_fresh_unseen_rows_passes() -> None:
    assert overall(judge(GATE, facts())) == "pass"


@pytest.mark.parametrize(
    ("outcome", "result"),
    [
        ("better", "pass"),
        ("non_inferior", "pass"),
        ("worse", "fail"),
        ("not_enough_data", "insufficient"),
    ],
)
def test_the_comparison_decides(outcome: Outcome, result: str) -> None:
    assert overall(judge(GATE, facts(outcome))) == result


def test_better_is_more_than_non_inferior() -> None:
    gate = msgspec.structs.replace(GATE, conditions=[Condition(require="better")])
    assert overall(judge(gate, facts("non_inferior"))) == "fail"


@pytest.mark.parametrize(
    ("changes", "name", "result"),
    [
        ({"rows": 99}, "min_rows", "insufficient"),
        ({"labelled": 99}, "min_labelled", "insufficient"),
        ({"newest": NOW - timedelta(days=31)}, "max_age", "fail"),
        ({"challenger_until": NOW - timedelta(days=9)}, "unseen_by_challenger", "fail"),
        ({"champion_until": NOW - timedelta(days=2)}, "unseen_by_champion", "fail"),
        ({"champion_until": None}, "unseen_by_champion", "insufficient"),
    ],
)
def test_one_condition_alone_stops_the_gate(changes: dict[str, object], name: str, result: str) -> None:
    reports = judge(GATE, msgspec.structs.replace(facts(), **changes))
    assert {report.name: report.result for report in reports if report.result != "pass"} == {name: result}
    assert all(report.reason for report in reports)


def test_a_first_version_need_not_be_unseen_by_a_champion() -> None:
    reports = judge(GATE, facts(has_champion=False, champion_until=None))
    assert overall(reports) == "pass"


def test_without_labels_the_metrics_are_insufficient() -> None:
    reports = judge(GATE, facts(labelled=0, comparisons=[]))
    assert reports[-1].reason == "no labelled row to compare on"
