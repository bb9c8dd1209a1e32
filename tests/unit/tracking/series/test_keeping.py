"""Points on their way from a batch to few large segments."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import sqlalchemy as sa

from everloop.tracking import Tracking
from everloop.tracking.series import keeping
from everloop.tracking.series.columns import pack
from everloop.tracking.tables import run_segment, run_tail

if TYPE_CHECKING:
    from everloop.kernel.operations import Kernel


@pytest.fixture
def tracking(any_kernel: Kernel) -> Tracking:
    return Tracking(any_kernel)


def send(tracking: Tracking, run: str, first: int, count: int, name: str = "loss") -> None:
    steps = list(range(first, first + count))
    series = [pack(name, [float(step) for step in steps], steps, [step / 2 for step in steps])]
    tracking.log_batch(run, series=series)


def segments(tracking: Tracking) -> list[int]:
    with tracking.kernel.catalog.read() as connection:
        return list(
            connection.execute(sa.select(run_segment.c.points).order_by(run_segment.c.place)).scalars()
        )


def waiting(tracking: Tracking) -> int:
    with tracking.kernel.catalog.read() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(run_tail)).scalar_one())


def test_small_batches_wait_and_are_sealed_together(tracking: Tracking) -> None:
    run = tracking.create_run(id="r").id
    for at in range(keeping.MOST_TAIL_ROWS - 1):
        send(tracking, run, at, 1)
    assert (waiting(tracking), segments(tracking)) == (keeping.MOST_TAIL_ROWS - 1, [])

    send(tracking, run, keeping.MOST_TAIL_ROWS - 1, 1)

    assert (waiting(tracking), segments(tracking)) == (0, [keeping.MOST_TAIL_ROWS])
    assert tracking.series(run, "loss").steps.tolist() == list(range(keeping.MOST_TAIL_ROWS))


def test_a_large_batch_is_sealed_at_once_and_a_very_large_one_in_parts(tracking: Tracking) -> None:
    run = tracking.create_run(id="r").id
    send(tracking, run, 0, keeping.LARGEST_SEGMENT + 5)
    assert (waiting(tracking), segments(tracking)) == (0, [keeping.LARGEST_SEGMENT, 5])
    assert len(tracking.series(run, "loss").steps) == keeping.LARGEST_SEGMENT + 5


def test_sixteen_segments_of_one_size_become_one(tracking: Tracking) -> None:
    run = tracking.create_run(id="r").id
    for at in range(keeping.MERGED * keeping.MERGED + 1):
        send(tracking, run, at * keeping.SEALED_AT_ONCE, keeping.SEALED_AT_ONCE)
    small, merged = keeping.SEALED_AT_ONCE, keeping.SEALED_AT_ONCE * keeping.MERGED
    assert segments(tracking) == [merged] * keeping.MERGED + [small]
    found = tracking.series(run, "loss")
    assert np.array_equal(found.steps, np.arange((keeping.MERGED**2 + 1) * small))
    assert np.array_equal(found.values, found.steps / 2)


def test_the_end_of_a_run_seals_what_waits(tracking: Tracking) -> None:
    run = tracking.create_run(id="r").id
    send(tracking, run, 0, 3)
    tracking.finish_run(run)
    assert (waiting(tracking), segments(tracking)) == (0, [3])


def test_the_latest_value_is_that_of_the_greatest_step_then_time_then_value(tracking: Tracking) -> None:
    run = tracking.create_run(id="r").id
    for steps, times, values in (
        ([2.0, 1.0], [5, 9], [1.0, 9.0]),
        ([2.0, 2.0], [5, 5], [float("nan"), 0.5]),
        ([2.0], [4], [7.0]),
    ):
        tracking.log_batch(run, series=[pack("loss", steps, times, values)])
    [metric] = tracking.get_run(run).metrics
    assert (metric.value, metric.step, metric.count) == (1.0, 2.0, 5)
    assert (metric.least, metric.greatest) == (0.5, 9.0)


def test_nan_and_infinities_are_marked_and_stay_what_they_were(tracking: Tracking) -> None:
    run = tracking.create_run(id="r").id
    numbers = [float("nan"), float("inf"), float("-inf"), 1.0]
    tracking.log_batch(run, series=[pack("loss", [0.0, 1.0, 2.0, 3.0], [0, 1, 2, 3], numbers)])
    tracking.log_batch(run, series=[pack("last", [0.0], [0], [float("-inf")])])
    marks = [(point.value, point.mark) for point in tracking.history(run, name="loss")]
    assert marks == [(None, "nan"), (None, "inf"), (None, "-inf"), (1.0, "")]
    latest = {metric.name: (metric.value, metric.mark) for metric in tracking.get_run(run).metrics}
    assert latest == {"loss": (1.0, ""), "last": (None, "-inf")}


def test_ten_thousand_names_in_one_batch_are_kept(tracking: Tracking) -> None:
    run = tracking.create_run(id="r").id
    tracking.log_batch(run, series=[pack(f"m{at}", [0.0], [0], [float(at)]) for at in range(10_001)])
    found = tracking.get_run(run).metrics
    assert len(found) == 10_001
    assert {metric.value for metric in found} == set(map(float, range(10_001)))
