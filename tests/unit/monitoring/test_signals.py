"""Signals speak of the newest judged window, and of the newest whose inputs were compared."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from everloop.evaluation.records import Estimate
from everloop.monitoring.records import Monitor, PerformanceReference, Reference, Window, WindowFigure
from everloop.monitoring.signals import of_windows

START = datetime(2013, 2, 1, tzinfo=UTC)
END = START + timedelta(days=7)
FOUND = Estimate(value=0.6, low=0.58, high=0.62, rows=900, blocks=7, method="blocks")
REFERENCE = Reference(
    model="m",
    number=1,
    version=1,
    started_at=START,
    performance={
        "log_loss": PerformanceReference(
            estimate=Estimate(value=0.5, low=0.4, high=0.6, rows=9, blocks=7, method="blocks"), source="gate"
        )
    },
)
JUDGED = Window(
    model="m", reference=1, version=1, start=START, end=END, rows=1_000, versions={1: 1_000}, verdict="bad",
    judged_at=END, figure=WindowFigure(as_of=END, labelled=900, judged=900, metrics={"log_loss": FOUND}),
)  # fmt: skip
YOUNG = Window(
    model="m", reference=1, version=1, start=END, end=END + timedelta(days=7), rows=1_000, versions={1: 1_000},
    drift="drift", drifted=["temp"],
)  # fmt: skip


def test_the_newest_judged_window_speaks_for_performance_and_the_newest_for_the_inputs() -> None:
    performance, drift = of_windows(Monitor(model="m"), REFERENCE, [YOUNG, JUDGED])
    assert (performance.name, performance.state, performance.at) == ("log_loss", "bad", END)
    assert (performance.value, performance.reference, performance.limit) == (0.6, 0.5, 0.52)
    assert (drift.state, drift.reason, drift.at) == ("bad", "temp", YOUNG.end)


def test_before_the_first_judgement_performance_is_provisional() -> None:
    assert of_windows(Monitor(model="m"), None, [YOUNG])[0].state == "provisional"
    assert of_windows(Monitor(model="m"), None, []) == []
