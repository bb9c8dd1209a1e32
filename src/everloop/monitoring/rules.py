"""Decisions of monitoring, pure: when a window is judged, how, and what alerting hears of it.

Tests: tests/unit/monitoring/test_rules.py.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from everloop.alerting.records import AlertRule, Observation
from everloop.core.durations import parse_duration
from everloop.core.errors import InvalidInputError
from everloop.evaluation.metrics import is_gain_positive_up
from everloop.monitoring.records import Judgement

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from everloop.monitoring.records import ColumnDrift, DriftReport, Monitor, Window, WindowFigure

# A column is broken when so many more of its rows than in the reference have no value, or so many have values never seen.
MOST_NEW_NULLS = 0.1
MOST_UNSEEN = 0.05
# An unjudged window is looked at this many times a window's length.
_LOOKS = 7
# Labels that come later than this many times `max_wait` after a window's end do not restate it.
_FINAL_AFTER = 16


class InvalidMonitorError(InvalidInputError):
    """A monitor says something that cannot be watched."""

    code = "monitoring.invalid-monitor"


def check_monitor(given: Monitor) -> None:
    """Refuse a monitor that makes no sense.

    Raises:
        InvalidMonitorError, InvalidDurationError: as named.
    """
    found = {
        "$.window": parse_duration(given.window) > timedelta(0),
        "$.max_wait": parse_duration(given.max_wait) >= timedelta(0),
        "$.tolerance": given.tolerance >= 0,
        "$.needed": 1 <= given.needed <= given.of,
        "$.mature": 0 < given.mature <= 1,
        "$.delta": 0 <= given.delta < 1,
    }
    for path, holds in found.items():
        if not holds:
            value = getattr(given, path[2:])
            raise InvalidMonitorError(
                f"{path[2:]} = {value} cannot be watched.", subject=f"model:{given.model}", path=path
            )


def is_mature(monitor: Monitor, window: Window, labelled: int, now: datetime) -> bool:
    """Tell whether a window is judged now: enough labels have come, or the wait is over, or there are too few rows ever."""
    if window.rows < monitor.min_labelled or now >= window.end + parse_duration(monitor.max_wait):
        return True
    return labelled >= monitor.min_labelled and labelled >= monitor.mature * window.rows


def next_look(monitor: Monitor, window: Window, labelled: int, now: datetime) -> datetime | None:
    """Return when a window is looked at again; None when no later label is expected to matter.

    An unjudged window seven times a window's length, and when its wait ends; a judged one whenever its age has doubled,
    until every row has a label or it is very old.
    """
    wait = parse_duration(monitor.max_wait)
    if window.judged_at is None:
        return min(now + parse_duration(monitor.window) / _LOOKS, max(window.end + wait, now))
    age = now - window.end
    if window.rows < monitor.min_labelled or labelled >= window.rows or age > _FINAL_AFTER * wait:
        return None
    return now + max(age, wait, timedelta(seconds=1))


def judge(monitor: Monitor, figure: WindowFigure, reference: float | None) -> Judgement:
    """Compare a window's performance with the reference: bad when even the better end of its interval is beyond the tolerance.

    Without a reference a window with enough labels is good: it becomes the reference. The reference counts as exact.
    """
    found = figure.metrics.get(monitor.metric)
    if figure.judged < monitor.min_labelled or found is None:
        return Judgement(
            state="insufficient", reason=f"{figure.judged} labelled rows, {monitor.min_labelled} needed"
        )
    if found.value is None or found.low is None or found.high is None:
        return Judgement(state="insufficient", reason=f"{monitor.metric} has no interval on these rows")
    if reference is None:
        return Judgement(state="ok", reason="the first window of the version is its reference")
    limit = limit_of(monitor, reference)
    is_up = is_gain_positive_up(monitor.metric)
    is_bad = found.high < limit if is_up else found.low > limit
    told = f"{monitor.metric} {found.value:.4f} ({found.low:.4f} to {found.high:.4f})"
    word = ("is below" if is_up else "is above") if is_bad else "is not shown to be beyond"
    return Judgement(
        state="bad" if is_bad else "ok",
        reason=f"{told} {word} the limit {limit:.4f}, the reference being {reference:.4f}",
    )


def limit_of(monitor: Monitor, reference: float) -> float:
    """Return the value of the metric beyond which a window is bad."""
    return (
        reference - monitor.tolerance
        if is_gain_positive_up(monitor.metric)
        else reference + monitor.tolerance
    )


def broken(columns: Sequence[ColumnDrift]) -> list[str]:
    """Return one sentence for each column whose missing or new values show broken data rather than a changed world."""
    told = []
    for column in columns:
        if column.null_share - column.reference_null_share > MOST_NEW_NULLS:
            told.append(
                f"{column.name}: {column.null_share:.1%} of the rows have no value, {column.reference_null_share:.1%} in the reference"
            )
        if (column.unseen_share or 0.0) > MOST_UNSEEN:
            told.append(
                f"{column.name}: {column.unseen_share:.1%} of the values were never seen in the reference"
            )
    return told


def performance_observation(monitor: Monitor, window: Window, judgement: Judgement) -> Observation:
    """Return what alerting hears of a judged window; it pages."""
    return Observation(
        rule=AlertRule(name=monitor.metric, severity="page", needed=monitor.needed, of=monitor.of),
        subject=f"deployment:{window.model}",
        state=judgement.state,
        at=window.end,
        message=f"{window.model}@v{window.version} until {window.end:%Y-%m-%d}: {judgement.reason}",
        evidence=_evidence(window),
    )


def input_observations(report: DriftReport, window: Window) -> list[Observation]:
    """Return what alerting hears of a window's inputs: drift is told and never pages; broken data warns at once."""
    subject, group = f"deployment:{report.model}", f"deployment:{report.model}/inputs"
    drifted = report.drifted
    named = ", ".join(drifted[:5]) + (f" and {len(drifted) - 5} more" if len(drifted) > 5 else "")  # noqa: PLR2004 - a line's length
    evidence = {**_evidence(window), "columns": drifted}
    is_known = report.verdict != "insufficient"
    return [
        Observation(
            rule=AlertRule(name="drift", severity="info", needed=2, of=3),
            subject=subject,
            state=("bad" if drifted else "ok") if is_known else "insufficient",
            at=report.end,
            message=f"inputs drifted beyond {report.delta:g}: {named}" if drifted else "no input drifted",
            group=group,
            evidence=evidence,
        ),
        Observation(
            rule=AlertRule(name="quality", severity="warn", needed=1, of=1),
            subject=subject,
            state=("bad" if report.broken else "ok") if is_known or report.broken else "insufficient",
            at=report.end,
            message="; ".join(report.broken) or "no input is broken",
            group=group,
            evidence=evidence,
        ),
    ]


def _evidence(window: Window) -> dict[str, object]:
    return {
        "window": [window.start.isoformat(), window.end.isoformat()],
        "version": window.version,
        "rows": window.rows,
    }
