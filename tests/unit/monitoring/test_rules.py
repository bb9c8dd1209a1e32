"""When a window is judged, how, and what alerting hears."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from everloop.evaluation.records import Estimate
from everloop.monitoring import rules
from everloop.monitoring.records import ColumnDrift, DriftReport, Monitor, Window, WindowFigure

START = datetime(2013, 2, 1, tzinfo=UTC)
END = START + timedelta(days=7)
MONITOR = Monitor(model="delays", min_labelled=100)
WINDOW = Window(model="delays", reference=1, version=1, start=START, end=END, rows=1_000, versions={1: 1_000})


def figure(metric: str, value: float, spread: float, *, judged: int = 900) -> WindowFigure:
    found = Estimate(
        value=value, low=value - spread, high=value + spread, rows=judged, blocks=7, method="blocks"
    )
    return WindowFigure(as_of=END, labelled=judged, judged=judged, metrics={metric: found})


@pytest.mark.parametrize(
    ("metric", "value", "spread", "reference", "state"),
    [
        ("log_loss", 0.60, 0.02, 0.55, "bad"),
        ("log_loss", 0.60, 0.04, 0.55, "ok"),
        ("log_loss", 0.40, 0.02, 0.55, "ok"),
        ("auc", 0.70, 0.02, 0.75, "bad"),
        ("auc", 0.70, 0.04, 0.75, "ok"),
        ("auc", 0.90, 0.02, 0.75, "ok"),
    ],
)
def test_a_window_is_bad_when_its_better_end_is_beyond_the_tolerance(
    metric: Any, value: float, spread: float, reference: float, state: str
) -> None:
    monitor = msgspec.structs.replace(MONITOR, metric=metric)
    assert rules.judge(monitor, figure(metric, value, spread), reference).state == state


def test_few_labelled_rows_are_insufficient() -> None:
    found = rules.judge(MONITOR, figure("log_loss", 0.9, 0.01, judged=99), 0.5)
    assert (found.state, found.reason) == ("insufficient", "99 labelled rows, 100 needed")


def test_without_an_interval_nothing_is_judged() -> None:
    one_block = Estimate(value=0.9, low=None, high=None, rows=500, blocks=1, method="blocks")
    found = WindowFigure(as_of=END, labelled=500, judged=500, metrics={"log_loss": one_block})
    assert rules.judge(MONITOR, found, 0.5).state == "insufficient"


@pytest.mark.parametrize(
    ("labelled", "days", "is_mature"), [(899, 1, False), (900, 1, True), (0, 6, False), (0, 7, True)]
)
def test_a_window_matures_by_its_labels_or_by_waiting(labelled: int, days: int, *, is_mature: bool) -> None:
    assert rules.is_mature(MONITOR, WINDOW, labelled, END + timedelta(days=days)) is is_mature


def test_a_window_with_too_few_rows_is_not_waited_for() -> None:
    assert rules.is_mature(MONITOR, msgspec.structs.replace(WINDOW, rows=99), 0, END)


def test_an_unjudged_window_is_looked_at_daily_and_when_its_wait_ends() -> None:
    assert rules.next_look(MONITOR, WINDOW, 5, END) == END + timedelta(days=1)
    late = END + timedelta(days=6.5)
    assert rules.next_look(MONITOR, WINDOW, 5, late) == END + timedelta(days=7)


def test_a_judged_window_is_looked_at_ever_more_rarely_until_its_labels_are_whole() -> None:
    judged = msgspec.structs.replace(WINDOW, judged_at=END)
    at = END + timedelta(days=20)
    assert rules.next_look(MONITOR, judged, 950, at) == END + timedelta(days=40)
    assert rules.next_look(MONITOR, judged, 1_000, at) is None
    assert rules.next_look(MONITOR, judged, 950, END + timedelta(days=113)) is None


def report(columns: list[ColumnDrift]) -> DriftReport:
    return DriftReport(
        model="delays", reference=1, start=START, end=END, delta=0.05, verdict="drift", columns=columns,
        broken=rules.broken(columns),
    )  # fmt: skip


def test_drift_is_told_and_never_pages() -> None:
    columns = [
        ColumnDrift(
            name=name, kind="number", rows=900, bins=50, verdict="drift", distance=distance, p_value=1e-9
        )
        for name, distance in (("a", 0.1), ("b", 0.4))
    ]
    drift, quality = rules.input_observations(report(columns), WINDOW)
    assert (drift.rule.severity, drift.rule.needed, drift.rule.of) == ("info", 2, 3)
    assert (drift.state, drift.message) == ("bad", "inputs drifted beyond 0.05: b, a")
    assert drift.group == quality.group == "deployment:delays/inputs"
    assert quality.state == "ok"


def test_missing_and_new_values_warn_at_once() -> None:
    columns = [
        ColumnDrift(name="a", kind="number", rows=900, bins=50, verdict="none", null_share=0.3),
        ColumnDrift(name="b", kind="category", rows=900, bins=9, verdict="none", unseen_share=0.2),
        ColumnDrift(
            name="c", kind="number", rows=9, bins=9, verdict="none", null_share=0.3, reference_null_share=0.25
        ),
    ]
    quality = rules.input_observations(report(columns), WINDOW)[1]
    assert (quality.state, quality.rule.severity, quality.rule.needed) == ("bad", "warn", 1)
    assert quality.message == (
        "a: 30.0% of the rows have no value, 0.0% in the reference; b: 20.0% of the values were never seen in the reference"
    )


@pytest.mark.parametrize(
    "wrong", [{"window": "0d"}, {"needed": 4}, {"mature": 0.0}, {"tolerance": -1.0}, {"delta": 1.0}]
)
def test_a_monitor_that_makes_no_sense_is_refused_with_its_place(wrong: dict[str, Any]) -> None:
    with pytest.raises(rules.InvalidMonitorError) as caught:
        rules.check_monitor(msgspec.structs.replace(MONITOR, **wrong))
    assert caught.value.path == f"$.{next(iter(wrong))}"
