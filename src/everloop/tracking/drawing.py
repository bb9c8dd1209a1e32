"""Tables as HTML, for notebooks; every text is escaped. Tests: tests/unit/tracking/test_comparing.py."""

from __future__ import annotations

import html
import math
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from everloop.tracking.records import Metric, Run

_LONGEST_CELL = 80
_STYLE = "border-collapse:collapse;font:13px/1.5 ui-monospace,monospace"
_CELL = "padding:2px 10px;border-bottom:1px solid #8884;text-align:left;vertical-align:top"


def table_of(columns: Sequence[str], rows: Sequence[Sequence[object]], *, note: str = "") -> str:
    """Return a table of HTML."""
    head = "".join(f'<th style="{_CELL}">{html.escape(name)}</th>' for name in columns)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    below = f'<div style="opacity:.7">{html.escape(note)}</div>' if note else ""
    return f'<div><table style="{_STYLE}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{below}</div>'


def _cell(value: object) -> str:
    return f'<td style="{_CELL}">{cell(value)}</td>'


def cell(value: object) -> str:
    """Return a value as HTML: numbers short, texts cut and escaped."""
    if value is None:
        return ""
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else f"{value:.6g}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    text = str(value)
    return html.escape(text if len(text) <= _LONGEST_CELL else f"{text[: _LONGEST_CELL - 1]}…")


def run_of(run: Run) -> str:
    """Return a run as HTML: what it is, its params and its latest metrics."""
    took = "" if run.ended_at is None else f", {(run.ended_at - run.created_at).total_seconds():.3g} s"
    title = f"{run.name or run.id} · {run.experiment} · {run.status}{took}"
    parts = [f"<div><b>{html.escape(title)}</b></div>"]
    if run.error:
        parts.append(f"<div>{html.escape(run.error)}</div>")
    if run.params:
        parts.append(table_of(["param", "value"], sorted(run.params.items())))
    if run.metrics:
        columns = ["metric", "latest", "least", "greatest", "step", "points"]
        parts.append(table_of(columns, [_metric(one) for one in run.metrics]))
    return "".join(parts)


def _metric(one: Metric) -> list[object]:
    return [one.name, one.mark or one.value, one.least, one.greatest, one.step, one.count]
