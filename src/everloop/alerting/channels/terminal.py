"""Alerts on standard error of the process that delivers. Tests: tests/contract/test_channels.py."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from everloop.alerting.channels import sentence

if TYPE_CHECKING:
    from everloop.alerting.records import Alert, Channel
    from everloop.kernel.settings import Settings


class TerminalChannel:
    """Writes one line an alert."""

    def __init__(self, channel: Channel, settings: Settings) -> None:
        del channel, settings

    def deliver(self, delivery: str, kind: str, alert: Alert) -> None:
        """Write the line."""
        del delivery
        sys.stderr.write(sentence(kind, alert) + "\n")
        sys.stderr.flush()
