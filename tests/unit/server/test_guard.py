"""The guard lets through what comes from an allowed host and origin with the right token, and nothing else."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest
from starlette.responses import Response

from everloop.server.guard import Guard, is_loopback

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send
    from tests.unit.server.conftest import Call


async def who_asks(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the actor that was let through."""
    actor = scope["everloop.actor"]
    await Response(msgspec.json.encode(actor), media_type="application/json")(scope, receive, send)


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8787", "localhost", "LOCALHOST:80", "[::1]:8787", "ml.example:443"]
)
def test_loopback_and_listed_names_are_answered(call: Call, host: str) -> None:
    guard = Guard(who_asks, hosts=["ML.example"])

    assert call(guard, "GET", "/x", headers={"host": host}).status == 200


@pytest.mark.parametrize(
    "host", ["", "evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8787"]
)
def test_a_foreign_name_is_misdirected(call: Call, host: str) -> None:
    answer = call(Guard(who_asks), "GET", "/x", headers={"host": host})

    assert answer.status == 421
    assert answer.json["code"] == "server.foreign-host"


@pytest.mark.parametrize("origin", ["http://127.0.0.1:5173", "http://localhost", "http://[::1]:8787"])
def test_a_page_of_this_machine_may_call(call: Call, origin: str) -> None:
    assert call(Guard(who_asks), "POST", "/x", headers={"origin": origin}).status == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://[", "http://localhost.evil.example"]
)
def test_a_page_of_another_site_may_not_call(call: Call, origin: str) -> None:
    answer = call(Guard(who_asks), "POST", "/x", headers={"origin": origin})

    assert answer.status == 403
    assert answer.json["code"] == "server.foreign-origin"


@pytest.mark.parametrize("given", [{}, {"authorization": "Bearer wrong"}, {"authorization": "Basic right"},
                                   {"authorization": "right"}, {"authorization": "Bearer é"}])  # fmt: skip
def test_without_the_right_token_nothing_is_let_through(call: Call, given: dict[str, str]) -> None:
    answer = call(Guard(who_asks, token="right"), "GET", "/x", headers=given)

    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["code"] == "everloop.unauthenticated"


def test_with_the_right_token_its_owner_acts(call: Call) -> None:
    answer = call(Guard(who_asks, token="right"), "GET", "/x", headers={"authorization": "bearer right"})

    assert answer.json == {"name": "token:owner", "roles": ["admin"]}


def test_health_is_open_and_gives_no_role(call: Call) -> None:
    answer = call(Guard(who_asks, token="right"), "GET", "/health")

    assert answer.status == 200
    assert answer.json["roles"] == []


def test_a_path_below_health_is_not_open(call: Call) -> None:
    assert call(Guard(who_asks, token="right"), "GET", "/health/x").status == 401


def test_a_websocket_is_closed_before_it_opens() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    asyncio.run(Guard(who_asks)({"type": "websocket", "path": "/x", "headers": []}, receive, send))

    assert [message["type"] for message in sent] == ["websocket.close"]


@pytest.mark.parametrize(("host", "expected"), [("127.0.0.1", True), ("::1", True), ("0.0.0.0", False), ("10.0.0.5", False)])  # fmt: skip  # noqa: S104
def test_only_loopback_is_loopback(host: str, *, expected: bool) -> None:
    assert is_loopback(host) is expected
