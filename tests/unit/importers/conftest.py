"""A home that runs are brought to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from everloop.tracking import Tracking

if TYPE_CHECKING:
    from everloop.kernel.operations import Kernel


@pytest.fixture
def tracking(kernel: Kernel) -> Tracking:
    return Tracking(kernel)


def points(tracking: Tracking, run: str) -> dict[str, list[tuple[float, float | str | None]]]:
    """Return step and value of all points by metric; NaN and infinities by their names."""
    found: dict[str, list[tuple[float, float | str | None]]] = {}
    for point in tracking.history(run):
        found.setdefault(point.name, []).append((point.step, point.mark or point.value))
    return found
