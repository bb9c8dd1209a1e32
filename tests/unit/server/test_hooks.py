"""Where webhooks arrive: without a token, by signature alone."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from everloop.alerting.channels.webhook import signature
from everloop.app import connect
from everloop.pipelines import pipeline, step
from everloop.server.api import build_api
from everloop.server.hooks import MAX_HOOK_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from starlette.types import ASGIApp
    from tests.unit.server.conftest import Call

SECRET = b"a secret of the hook"


@step
def echo(x: str) -> str:
    return x


@pipeline
def hooked(x: str = "") -> str:
    return echo(x)


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ASGIApp]:
    monkeypatch.setenv("HOOK_SECRET", SECRET.decode())
    with connect(home=tmp_path / "home") as loop:
        loop.pipelines.register(hooked)
        loop.pipelines.add_trigger("push", "hooked", on="webhook", accepts=["x"], secret="env:HOOK_SECRET")
        yield build_api(loop.services, token="token of the API")


def headers(body: bytes, secret: bytes = SECRET) -> dict[str, str]:
    moment = str(int(time.time()))
    return {
        "webhook-id": "m1",
        "webhook-timestamp": moment,
        "webhook-signature": signature(secret, "m1", moment, body),
    }


def test_a_signed_message_needs_no_token_and_is_accepted(app: ASGIApp, call: Call) -> None:
    body = json.dumps({"x": "hello"}).encode()
    answer = call(app, "POST", "/hooks/push", body=body, headers=headers(body))
    assert answer.status == 202
    assert (answer.json["status"], answer.json["given"]) == ("started", {"x": "hello"})


def test_an_unsigned_message_learns_nothing_not_even_which_hooks_there_are(app: ASGIApp, call: Call) -> None:
    body = b"{}"
    wrong = headers(body, b"guess")
    there = call(app, "POST", "/hooks/push", body=body, headers=wrong)
    not_there = call(app, "POST", "/hooks/other", body=body, headers=wrong)
    assert (there.status, not_there.status) == (401, 401)
    assert there.json["detail"] == not_there.json["detail"]
    assert call(app, "GET", "/hooks/push").status == 405


def test_a_signed_message_opens_nothing_else(app: ASGIApp, call: Call) -> None:
    for path in ("/hooks/../api/v1/runs", "/hooks/push/../../api/v1/runs", "/api/v1/runs"):
        assert call(app, "GET", path, headers=headers(b"")).status in (401, 404, 405)


def test_a_body_beyond_a_megabyte_is_refused(app: ASGIApp, call: Call) -> None:
    body = b"x" * (MAX_HOOK_BYTES + 1)
    assert call(app, "POST", "/hooks/push", body=body, headers=headers(body)).status == 413
