"""Points between two steps, over forks, and as a chart of a long series."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from everloop.tracking import Tracking
from everloop.tracking.series.columns import pack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from everloop.kernel.operations import Kernel


@pytest.fixture
def tracking(kernel: Kernel) -> Tracking:
    return Tracking(kernel)


def send(
    tracking: Tracking, run: str, steps: Sequence[float], values: Sequence[float], name: str = "loss"
) -> None:
    times = [int(step * 1000) for step in steps]
    tracking.log_batch(run, series=[pack(name, steps, times, values)])


def test_a_spike_of_one_point_is_in_the_chart_of_a_long_series(tracking: Tracking) -> None:
    run = tracking.create_run(id="r").id
    count, spike = 300_000, 123_457
    values = np.sin(np.arange(count) / 1000)
    values[spike] = 99.0
    values[spike + 1] = np.nan
    for first in range(0, count, 50_000):
        part = slice(first, first + 50_000)
        send(tracking, run, np.arange(count)[part].astype(float).tolist(), values[part].tolist())

    [chart] = tracking.chart([run], name="loss", buckets=200)
    [zoomed] = tracking.chart([run], name="loss", buckets=200, low=spike - 50, high=spike + 49)

    assert chart.points == count
    assert len(chart.steps) == 200
    at = chart.greatest.index(99.0)
    assert chart.steps[at - 1] < spike <= chart.steps[at]
    assert chart.marks[at] == 1
    assert (zoomed.points, zoomed.counts) == (100, [1] * 100)
    assert zoomed.greatest[50] == 99.0
    assert zoomed.steps[0] == spike - 50


def test_a_zoom_into_a_long_series_keeps_what_touches_its_borders(tracking: Tracking) -> None:
    run = tracking.create_run(id="r").id
    count = 200_000
    send(tracking, run, [float(step) for step in range(count)], [1.0] * count)
    [chart] = tracking.chart([run], name="loss", buckets=100, low=30_000, high=169_999)
    # Summaries of 256 points at the borders count whole.
    assert 140_000 <= chart.points <= 140_000 + 2 * 256
    assert chart.steps[-1] >= 169_999


def test_steps_that_go_back_are_drawn_and_read_in_order(tracking: Tracking) -> None:
    run = tracking.create_run(id="r").id
    for first in (50_000, 0, 100_000):
        send(tracking, run, [float(step) for step in range(first, first + 50_000)], [float(first)] * 50_000)
    [chart] = tracking.chart([run], name="loss", buckets=10)
    assert chart.steps == sorted(chart.steps)
    assert chart.points == 150_000
    assert tracking.series(run, "loss").steps.tolist() == list(range(150_000))


def test_a_fork_goes_on_with_the_series_of_its_parent(tracking: Tracking) -> None:
    first = tracking.create_run(id="first").id
    send(tracking, first, [0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 2.0, 3.0])
    second = tracking.create_run(id="second", fork_of=first, fork_step=2.0).id
    send(tracking, second, [3.0, 4.0], [30.0, 40.0])
    third = tracking.create_run(id="third", fork_of=second, fork_step=1.0).id
    send(tracking, third, [2.0], [200.0])

    assert [point.value for point in tracking.history(second)] == [0.0, 1.0, 2.0, 30.0, 40.0]
    assert [point.value for point in tracking.history(third, name="loss")] == [0.0, 1.0, 200.0]
    [chart] = tracking.chart([second], name="loss")
    assert chart.last == [0.0, 1.0, 2.0, 30.0, 40.0]


def test_a_chart_of_many_runs_leaves_out_those_without_the_metric(tracking: Tracking) -> None:
    for at in range(3):
        tracking.create_run(id=f"r{at}")
    send(tracking, "r0", [0.0], [1.0])
    send(tracking, "r2", [0.0], [2.0])
    charts = tracking.chart(["r0", "r1", "r2", "unknown"], name="loss")
    assert [(chart.run, chart.last) for chart in charts] == [("r0", [1.0]), ("r2", [2.0])]
    assert tracking.chart(["r0"], name="unknown") == []
