"""A window's performance is measured on the rows one version answered, with days as blocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from everloop.evaluation.intervals import estimate
from everloop.monitoring.performance import block_length, figure, truths
from everloop.registry.records import Output, Scalar

START = datetime(2013, 2, 4, tzinfo=UTC)
PROBABILITY = Output(kind="probability", target="late", positive=True)


def labelled(days: int, a_day: int = 50) -> pa.Table:
    generator = np.random.default_rng(0)
    rows = days * a_day
    score = generator.uniform(0.1, 0.9, rows)
    return pa.table(
        {
            "time": [START + timedelta(days=row // a_day, seconds=row % a_day) for row in range(rows)],
            "version": [1 + (row % 5 == 0) for row in range(rows)],
            "prediction": score,
            "label": (generator.random(rows) < score).astype(float),
            "label_text": pa.nulls(rows, pa.string()),
        }
    )


def test_only_the_version_that_is_watched_is_judged_but_every_label_counts() -> None:
    rows = labelled(7)
    found = figure(rows, version=1, output=PROBABILITY, metric="log_loss", window="7d", as_of=START)
    mine = rows.to_pandas().query("version == 1")
    days = mine["time"].dt.date.astype(str)
    assert (found.labelled, found.judged) == (350, 280)
    assert found.metrics["log_loss"] == estimate("log_loss", mine["label"], mine["prediction"], blocks=days)
    assert found.metrics["log_loss"].blocks == 7
    assert set(found.metrics) == {"auc", "log_loss", "brier"}


def test_without_labels_there_is_no_figure() -> None:
    found = figure(pa.table({}), version=1, output=PROBABILITY, metric="auc", window="7d", as_of=START)
    assert (found.labelled, found.metrics) == (0, {})


def test_a_value_is_measured_by_its_errors() -> None:
    output = Output(kind="value", target="minutes")
    found = figure(labelled(2), version=1, output=output, metric="squared_error", window="2d", as_of=START)
    assert set(found.metrics) == {"squared_error", "absolute_error"}
    assert found.metrics["squared_error"].low is not None


@pytest.mark.parametrize(
    ("positive", "labels", "texts", "expected"),
    [
        (True, [1.0, 0.0, None], [None, None, None], [1.0, 0.0, None]),
        (2, [2.0, 1.0, 3.0], [None, None, None], [1.0, 0.0, 0.0]),
        (None, [0.0, 1.0, None], [None, None, None], [0.0, 1.0, None]),
        ("yes", [None, None, None], ["yes", "no", None], [1.0, 0.0, None]),
    ],
)
def test_a_label_is_one_when_it_is_the_positive_value(
    positive: Scalar | None, labels: list[float | None], texts: list[str | None], expected: list[float | None]
) -> None:
    rows = pa.table({"label": pa.array(labels, pa.float64()), "label_text": pa.array(texts, pa.string())})
    found = truths(rows, Output(kind="probability", target="t", positive=positive))
    assert [None if np.isnan(value) else value for value in found.tolist()] == expected


@pytest.mark.parametrize(("window", "block_s"), [("30d", 86_400), ("7d", 86_400), ("7h", 3_600)])
def test_a_block_is_a_day_or_a_seventh_of_a_short_window(window: str, block_s: float) -> None:
    assert block_length(window) == timedelta(seconds=block_s)
