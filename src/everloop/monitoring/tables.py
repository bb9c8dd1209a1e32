"""Tables of monitoring. Tests: tests/integration/test_monitoring.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from everloop.core.digests import Digest
from everloop.kernel.catalog.schema import Json, Time, metadata
from everloop.monitoring.records import Monitor, PerformanceReference, Window, WindowFigure

if TYPE_CHECKING:
    from collections.abc import Iterable

monitor = sa.Table(
    "monitor",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("settings", Json(Monitor), nullable=False),
    sa.Column("set_at", Time, nullable=False),
)

# `closed_until` is the claim on the next window: who moves it from the window's start to its end has closed it.
monitor_reference = sa.Table(
    "monitor_reference",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("started_at", Time, nullable=False),
    sa.Column("closed_until", Time, nullable=False),
    sa.Column("performance", Json(dict[str, PerformanceReference]), nullable=False),
    sa.Column("inputs", sa.Text, nullable=False),
    sa.Column("inputs_from", sa.Text, nullable=False),
)

# `revision` fences: a figure is written only over the revision it was computed from.
monitor_window = sa.Table(
    "monitor_window",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("reference", sa.Integer, primary_key=True),
    sa.Column("start_at", Time, primary_key=True),
    sa.Column("end_at", Time, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("next_look", Time, nullable=True),
    sa.Column("content", Json(Window), nullable=False),
    sa.Index("ix_monitor_window_next_look", "next_look"),
    sa.Index("ix_monitor_window_end", "model", "end_at"),
)

monitor_figure = sa.Table(
    "monitor_figure",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("reference", sa.Integer, primary_key=True),
    sa.Column("start_at", Time, primary_key=True),
    sa.Column("as_of", Time, primary_key=True),
    sa.Column("figure", Json(WindowFigure), nullable=False),
)

monitor_drift = sa.Table(
    "monitor_drift",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("reference", sa.Integer, primary_key=True),
    sa.Column("start_at", Time, primary_key=True),
    sa.Column("end_at", Time, nullable=False),
    sa.Column("verdict", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
)


def roots(connection: sa.Connection) -> Iterable[tuple[Digest, str]]:
    """Yield the inputs of every reference and every drift report."""
    found = monitor_reference.c
    for row in connection.execute(
        sa.select(found.inputs, found.model, found.version).where(found.inputs != "")
    ):
        yield Digest(row.inputs), f"reference inputs of {row.model}@v{row.version}"
    for row in connection.execute(
        sa.select(monitor_drift.c.digest, monitor_drift.c.model, monitor_drift.c.end_at)
    ):
        yield Digest(row.digest), f"drift report of {row.model} until {row.end_at:%Y-%m-%d %H:%M}"
