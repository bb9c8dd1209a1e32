"""Tables of the alerting stage. Tests: tests/unit/alerting."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from everloop.alerting.records import Alert, Channel, Memory
from everloop.kernel.catalog.schema import Json, Time, metadata

alert = sa.Table(
    "alert",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("rule", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("severity", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("group_key", sa.Text, nullable=False),
    sa.Column("opened_at", Time, nullable=False),
    sa.Column("updated_at", Time, nullable=False),
    sa.Column("observations", sa.Integer, nullable=False),
    sa.Column("acknowledged_by", sa.Text, nullable=False),
    sa.Column("evidence", Json(dict[str, Any]), nullable=False),
    sa.Index("ix_alert_subject", "subject", "state"),
)

alert_memory = sa.Table(
    "alert_memory",
    metadata,
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column("rule", sa.Text, primary_key=True),
    sa.Column("memory", Json(Memory), nullable=False),
)

alert_silence = sa.Table(
    "alert_silence",
    metadata,
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column("rule", sa.Text, primary_key=True),
    sa.Column("until", Time, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
)

alert_channel = sa.Table(
    "alert_channel",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("channel", Json(Channel), nullable=False),
)

# The outbox: a message is written with the alert, and delivered afterwards until it arrives.
alert_delivery = sa.Table(
    "alert_delivery",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("alert", sa.Text, nullable=False),
    sa.Column("channel", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("message", Json(Alert), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_try_at", Time, nullable=False),
    sa.Column("delivered_at", Time),
    sa.Column("error", sa.Text, nullable=False),
    sa.UniqueConstraint("alert", "channel", "kind"),
    sa.Index("ix_alert_delivery_open", "delivered_at", "next_try_at"),
)
