"""Alerts as JSON lines in a file of the home. Tests: tests/contract/test_channels.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from everloop.alerting.channels import DeliveryError
from everloop.core.errors import InvalidInputError

if TYPE_CHECKING:
    from everloop.alerting.records import Alert, Channel
    from everloop.kernel.settings import Settings


class FileChannel:
    """Appends one JSON document a line to `alerts/<target>` in the home."""

    def __init__(self, channel: Channel, settings: Settings) -> None:
        folder = (settings.home / "alerts").resolve()
        self._file = (folder / (channel.target or f"{channel.name}.jsonl")).resolve()
        if not self._file.is_relative_to(folder):
            raise InvalidInputError(
                f"channel {channel.name} names a file outside the home. Give a plain file name.",
                subject=channel.name,
            )

    def deliver(self, delivery: str, kind: str, alert: Alert) -> None:
        """Append the document."""
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("ab") as file:
                file.write(msgspec.json.encode({"delivery": delivery, "kind": kind, "alert": alert}) + b"\n")
        except OSError as error:
            raise DeliveryError(
                f"{self._file.name} cannot be written: {error.strerror}. It is tried again."
            ) from error
