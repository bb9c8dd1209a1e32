"""What is watched, as a few figures with a state: the newest window's performance and inputs.

Tests: tests/unit/monitoring/test_signals.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from everloop.monitoring.records import Signal
from everloop.monitoring.rules import limit_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from everloop.monitoring.records import Monitor, Reference, SignalState, Window

_STATES: dict[str, SignalState] = {"bad": "bad", "insufficient": "insufficient", "": "provisional"}


def of_windows(monitor: Monitor, reference: Reference | None, windows: Sequence[Window]) -> list[Signal]:
    """Return the signals of a model.

    Args:
        monitor: what is watched.
        reference: what windows are compared with.
        windows: newest first; the newest judged one speaks for performance, the newest of all for the inputs.
    """
    if not windows:
        return []
    judged = next((window for window in windows if window.judged_at is not None), windows[0])
    found = [_performance(monitor, reference, judged)]
    compared = next((window for window in windows if window.drift), None)
    return [*found, _drift(compared)] if compared else found


def _performance(monitor: Monitor, reference: Reference | None, window: Window) -> Signal:
    measured = window.figure.metrics.get(monitor.metric) if window.figure else None
    known = reference.performance.get(monitor.metric) if reference else None
    value = known.estimate.value if known else None
    return Signal(
        name=monitor.metric,
        state=_STATES.get(window.verdict, "ok"),
        at=window.end,
        value=measured.value if measured else None,
        low=measured.low if measured else None,
        high=measured.high if measured else None,
        reference=value,
        limit=None if value is None else limit_of(monitor, value),
        reason=window.reason,
    )


def _drift(window: Window) -> Signal:
    states: dict[str, SignalState] = {"drift": "bad", "none": "ok"}
    return Signal(
        name="drift",
        state=states.get(window.drift, "insufficient"),
        at=window.end,
        value=float(len(window.drifted)),
        reason=", ".join(window.drifted),
    )
