"""Pages of points."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from everloop.tracking import Tracking
from everloop.tracking.recording import RunNotFoundError
from everloop.tracking.series.columns import pack

if TYPE_CHECKING:
    from everloop.kernel.operations import Kernel


@pytest.fixture
def tracking(any_kernel: Kernel) -> Tracking:
    found = Tracking(any_kernel)
    found.create_run(id="r")
    for name in ("b", "a"):
        steps = [float(step) for step in range(5)]
        found.log_batch("r", series=[pack(name, steps, [0] * 5, steps)])
    return found


def test_points_come_in_the_order_of_name_and_step(tracking: Tracking) -> None:
    found = [(point.name, point.step) for point in tracking.history("r")]
    assert found == [(name, float(step)) for name in "ab" for step in range(5)]


def test_pages_join_without_gap_or_overlap(tracking: Tracking) -> None:
    first = tracking.history("r", name="a", limit=2)
    second = tracking.history("r", name="a", limit=9, after=first[-1].step)
    assert [point.step for point in first + second] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert [point.step for point in tracking.history("r", name="a", after=0.0, until=2.0)] == [1.0, 2.0]


def test_an_unknown_metric_has_no_points_and_an_unknown_run_is_an_error(tracking: Tracking) -> None:
    assert tracking.history("r", name="none") == []
    assert tracking.series("r", "none").steps.tolist() == []
    with pytest.raises(RunNotFoundError):
        tracking.history("none")
