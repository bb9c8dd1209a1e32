"""Every channel keeps the contract; the webhook signs, follows nothing, and sends only where it may."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, NamedTuple

import pytest

from everloop.alerting.channels import DeliveryError, open_channel
from everloop.alerting.channels.webhook import MissingSecretError, UnlistedHostError
from everloop.alerting.records import Channel
from everloop.core.errors import InvalidInputError
from everloop.kernel.settings import Settings
from everloop.testing.channels import ChannelContract, an_alert

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from everloop.alerting.channels import Deliverer


class TestTerminal(ChannelContract):
    @pytest.fixture
    def channel(self, tmp_path: Path) -> Deliverer:
        return open_channel(Channel(name="here", kind="terminal"), Settings(home=tmp_path))

    @pytest.fixture
    def arrived(self, capsys: pytest.CaptureFixture[str]) -> Callable[[], list[str]]:
        return lambda: capsys.readouterr().err.splitlines()  # noqa: PLW0108 - read when it is called


class TestFile(ChannelContract):
    @pytest.fixture
    def channel(self, tmp_path: Path) -> Deliverer:
        return open_channel(Channel(name="ops", kind="file"), Settings(home=tmp_path))

    @pytest.fixture
    def arrived(self, tmp_path: Path) -> Callable[[], list[str]]:
        def lines() -> list[str]:
            return (tmp_path / "alerts" / "ops.jsonl").read_text().splitlines()

        return lines


@pytest.mark.parametrize("target", ["../stolen", "/etc/passwd", "a/../../b"])
def test_a_file_outside_the_home_is_refused(tmp_path: Path, target: str) -> None:
    with pytest.raises(InvalidInputError, match="outside"):
        open_channel(Channel(name="ops", kind="file", target=target), Settings(home=tmp_path))


class Request(NamedTuple):
    """What a webhook received."""

    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """An HTTP server that keeps what it gets and answers as told."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answers: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): text for name, text in self.headers.items()}
                receiver.requests.append(Request(self.path, headers, body))
                self.send_response(receiver.answers.pop(0) if receiver.answers else 204)
                self.send_header("location", "/elsewhere")
                self.send_header("content-length", "0")
                self.send_header("connection", "close")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Stay silent."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def webhook(receiver: Receiver, tmp_path: Path) -> Deliverer:
    (tmp_path / "secret").write_bytes(b"shared secret\n")
    channel = Channel(
        name="hook",
        kind="webhook",
        target=f"http://{receiver.host}/hook?x=1",
        secret=f"file:{tmp_path}/secret",
    )
    return open_channel(channel, Settings(home=tmp_path, webhook_hosts=[receiver.host]))


class TestWebhook(ChannelContract):
    @pytest.fixture
    def channel(self, webhook: Deliverer) -> Deliverer:
        return webhook

    @pytest.fixture
    def arrived(self, receiver: Receiver) -> Callable[[], list[str]]:
        return lambda: [request.body.decode() for request in receiver.requests]


def test_a_webhook_is_signed_so_that_the_other_side_can_check_it(
    webhook: Deliverer, receiver: Receiver
) -> None:
    webhook.deliver("delivery-1", "fired", an_alert())

    (request,) = receiver.requests
    signed = b".".join((b"delivery-1", request.headers["webhook-timestamp"].encode(), request.body))
    expected = base64.b64encode(hmac.new(b"shared secret", signed, hashlib.sha256).digest()).decode()
    assert request.path == "/hook?x=1"
    assert request.headers["webhook-id"] == "delivery-1"
    assert request.headers["webhook-signature"] == f"v1,{expected}"
    assert json.loads(request.body)["type"] == "alert.fired"
    assert b"shared secret" not in request.body


@pytest.mark.parametrize("status", [500, 429, 404, 302, 307])
def test_anything_but_success_is_to_be_tried_again_and_no_redirect_is_followed(
    webhook: Deliverer, receiver: Receiver, status: int
) -> None:
    receiver.answers = [status]

    with pytest.raises(DeliveryError, match=str(status)):
        webhook.deliver("delivery-1", "fired", an_alert())
    webhook.deliver("delivery-1", "fired", an_alert())

    assert [(request.path, request.headers["webhook-id"]) for request in receiver.requests] == [
        ("/hook?x=1", "delivery-1"), ("/hook?x=1", "delivery-1"),
    ]  # fmt: skip


def test_a_server_that_is_away_is_to_be_tried_again(webhook: Deliverer, receiver: Receiver) -> None:
    receiver.server.server_close()
    receiver.server.shutdown()

    with pytest.raises(DeliveryError, match="does not answer"):
        webhook.deliver("delivery-1", "fired", an_alert())


@pytest.mark.parametrize("target", ["http://evil.example/x", "http://127.0.0.1:1/x", "ftp://ops.example/x", "ops.example", "",
                                    "http://ops.example@evil.example/", "http://ops.example:80x/", "http://[",
                                    "http://user:pw@ops.example/", "http://ops.example.evil.example/"])  # fmt: skip
def test_a_host_that_no_operator_listed_is_refused(tmp_path: Path, target: str) -> None:
    channel = Channel(name="hook", kind="webhook", target=target, secret="env:HOME")

    with pytest.raises(UnlistedHostError, match="webhook_hosts"):
        open_channel(channel, Settings(home=tmp_path, webhook_hosts=["ops.example", "127.0.0.1:8080"]))


@pytest.mark.parametrize("secret", ["", "env:NO_SUCH_VARIABLE_HERE", "file:/no/such/file", "plain text"])
def test_a_webhook_without_its_secret_is_refused(tmp_path: Path, secret: str) -> None:
    channel = Channel(name="hook", kind="webhook", target="https://ops.example/x", secret=secret)

    with pytest.raises(MissingSecretError, match="hook"):
        open_channel(channel, Settings(home=tmp_path, webhook_hosts=["ops.example"]))
