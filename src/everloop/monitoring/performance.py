"""The performance of a window from the labels that are known, with intervals whose unit is a day.

Tests: tests/unit/monitoring/test_performance.py.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from everloop.core.durations import parse_duration
from everloop.evaluation.intervals import estimate
from everloop.evaluation.service import CLASSIFICATION
from everloop.monitoring.records import WindowFigure

if TYPE_CHECKING:
    from datetime import datetime

    from everloop.monitoring.histograms import FloatArray
    from everloop.registry.records import Output

_REGRESSION = ("squared_error", "absolute_error")
# A window has at least this many blocks, so that a short one has an interval too.
_FEWEST_BLOCKS = 7


def figure(
    rows: pa.Table, *, version: int, output: Output, metric: str, window: str, as_of: datetime
) -> WindowFigure:
    """Return the metrics of the rows that one version answered.

    Args:
        rows: labelled predictions: version, time, prediction, label, label_text.
        version: the version that is judged; rows of others only count as labelled.
        output: what the version answers, which says how a label is read.
        metric: the metric that is watched; its family is measured whole.
        window: length of the window; a block of rows is a day of it, or a seventh when it is shorter than a week.
        as_of: when these labels were known.
    """
    if not rows.num_rows:
        return WindowFigure(as_of=as_of, labelled=0, judged=0, metrics={})
    truth = truths(rows, output)
    score = pc.cast(rows["prediction"], pa.float64()).to_numpy()
    has_label = np.isfinite(truth)
    used = has_label & np.isfinite(score) & (rows["version"].to_numpy() == version)
    length_us = block_length(window) // timedelta(microseconds=1)
    blocks = pc.cast(rows["time"], pa.int64()).to_numpy()[used] // length_us
    names = CLASSIFICATION if metric in CLASSIFICATION else _REGRESSION
    metrics = (
        {name: estimate(name, truth[used], score[used], blocks=blocks) for name in names}
        if used.any()
        else {}
    )
    return WindowFigure(as_of=as_of, labelled=int(has_label.sum()), judged=int(used.sum()), metrics=metrics)


def truths(rows: pa.Table, output: Output) -> FloatArray:
    """Return labels as numbers: of a probability 1 for the positive label and 0 for others; NaN where there is none."""
    numbers = _numbers(rows["label"])
    if output.kind != "probability":
        return numbers
    positive = output.positive
    if isinstance(positive, str):
        texts = np.asarray(rows["label_text"].to_pylist(), dtype=object)
        missing = np.asarray([text is None for text in texts])
        return np.where(missing, numbers, np.where(texts == positive, 1.0, 0.0)).astype(np.float64)
    is_positive = numbers > 0 if positive is None else numbers == float(positive)
    return np.where(np.isnan(numbers), np.nan, is_positive.astype(np.float64))


def block_length(window: str) -> timedelta:
    """Return the length of the blocks of a window: a day, or a seventh of a window shorter than a week."""
    return min(timedelta(days=1), parse_duration(window) / _FEWEST_BLOCKS)


def _numbers(column: Any) -> FloatArray:  # noqa: ANN401 - a pyarrow column
    numbers: FloatArray = pc.fill_null(pc.cast(column, pa.float64()), float("nan")).to_numpy()
    return numbers
