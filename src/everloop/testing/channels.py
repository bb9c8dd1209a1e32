"""The contract of an alert channel: subclass it, give the fixtures, and pytest runs every claim.

class TestMyChannel(ChannelContract):
    @pytest.fixture
    def channel(self) -> Deliverer: ...      # delivers to a place of the test
    @pytest.fixture
    def arrived(self) -> Callable[[], list[str]]: ...   # what came there, one text a message
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from everloop.alerting.records import Alert
from everloop.core.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from everloop.alerting.channels import Deliverer

_AT = datetime(2013, 7, 8, tzinfo=UTC)


def an_alert(message: str = "log_loss 0.61 is above 0.55") -> Alert:
    """Return an alert to deliver."""
    return Alert(
        id=new_id(), rule="log_loss", subject="deployment:delays", severity="page", state="firing", message=message,
        group="deployment:delays/log_loss", opened_at=_AT, updated_at=_AT, observations=1, evidence={"rows": 1200},
    )  # fmt: skip


class ChannelContract:
    """What every implementation of `everloop.alerting.channels.Deliverer` keeps."""

    @pytest.fixture
    def channel(self) -> Deliverer:
        """Return a channel that delivers to a place of the test."""
        raise NotImplementedError

    @pytest.fixture
    def arrived(self) -> Callable[[], list[str]]:
        """Return a function that gives what came there, one text a message, in order."""
        raise NotImplementedError

    def test_a_message_arrives_with_its_facts(
        self, channel: Deliverer, arrived: Callable[[], list[str]]
    ) -> None:
        """Subject, rule, severity, sentence, and whether it fired or ended."""
        channel.deliver(new_id(), "fired", an_alert())

        (text,) = arrived()
        for fact in ("deployment:delays", "log_loss", "page", "0.61 is above 0.55", "fired"):
            assert fact in text

    def test_messages_arrive_in_order(self, channel: Deliverer, arrived: Callable[[], list[str]]) -> None:
        """The end comes after the beginning."""
        for kind in ("fired", "resolved"):
            channel.deliver(new_id(), kind, an_alert())

        first, second = arrived()
        assert "fired" in first
        assert "resolved" in second

    def test_letters_of_any_language_arrive(
        self, channel: Deliverer, arrived: Callable[[], list[str]]
    ) -> None:
        """Text is UTF-8."""
        channel.deliver(new_id(), "fired", an_alert("verspätet: 遅延 +3 %"))

        assert "verspätet: 遅延 +3 %" in arrived()[0]

    def test_a_line_break_does_not_make_two_messages(
        self, channel: Deliverer, arrived: Callable[[], list[str]]
    ) -> None:
        """A message cannot forge another."""
        channel.deliver(new_id(), "fired", an_alert("one\ntwo"))

        assert len(arrived()) == 1
