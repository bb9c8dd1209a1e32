"""Channels: one file each behind one small Protocol, loaded on first use.

To add one: write a class with `deliver`, name it in `KINDS` and in `records.ChannelKind`, and let its test subclass
`everloop.testing.channels.ChannelContract`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Protocol

from everloop.core.errors import UnavailableError

if TYPE_CHECKING:
    from everloop.alerting.records import Alert, Channel
    from everloop.kernel.settings import Settings

KINDS = {"terminal": "TerminalChannel", "file": "FileChannel", "webhook": "WebhookChannel"}


class DeliveryError(UnavailableError):
    """A channel did not take a message; it is tried again."""

    code = "alerting.not-delivered"


class Deliverer(Protocol):
    """Delivers one message at a time.

    Called from one thread. A message may come twice after a crash between delivery and record: the delivery id lets the other
    side drop the second. Raises `DeliveryError` when it should be tried again.
    """

    def deliver(self, delivery: str, kind: str, alert: Alert) -> None:
        """Deliver a message."""
        ...


def open_channel(channel: Channel, settings: Settings) -> Deliverer:
    """Return the implementation of a channel."""
    module = importlib.import_module(f"everloop.alerting.channels.{channel.kind}")
    made: Deliverer = getattr(module, KINDS[channel.kind])(channel, settings)
    return made


def sentence(kind: str, alert: Alert) -> str:
    """Return an alert as one line for people; a message can neither begin another line nor steer the terminal."""
    line = f"{alert.updated_at:%Y-%m-%d %H:%M} {kind} [{alert.severity}] {alert.subject} {alert.rule}: {alert.message}"
    return "".join(letter if letter.isprintable() else " " for letter in line)
