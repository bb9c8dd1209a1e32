"""Webhooks: signed, fresh, once, and only what they may set."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from everloop.alerting.channels.webhook import signature
from everloop.data.service import Data
from everloop.pipelines import Pipelines
from everloop.pipelines.hooks import BadSignatureError, InvalidHookError
from everloop.pipelines.triggering import TriggerPausedError
from everloop.tracking import Tracking

if TYPE_CHECKING:
    from tests.conftest import MakeKernel
    from tests.unit.pipelines.conftest import Project

    from everloop.core.clock import ManualClock

SECRET = b"correct horse battery staple"
FLOW = """
    from everloop.pipelines import pipeline, step
    @step
    def echo(x: str) -> str:
        return x
    @pipeline
    def flow(x: str = "", y: int = 0) -> str:
        return echo(x)
"""


@pytest.fixture
def pipelines(
    make_kernel: MakeKernel,
    catalog_url: str,
    clock: ManualClock,
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
) -> Pipelines:
    any_kernel = make_kernel(clock=clock, catalog_url=catalog_url)
    monkeypatch.setenv("HOOK_SECRET", SECRET.decode())
    found = Pipelines(any_kernel, data=Data(any_kernel), tracking=Tracking(any_kernel))
    project.write(flow=FLOW)
    found.register(project.flow().flow)
    found.add_trigger("push", "flow", on="webhook", accepts=["x"], secret="env:HOOK_SECRET")
    return found


def signed(
    clock: ManualClock, body: bytes, *, delivery: str = "msg_1", secret: bytes = SECRET, late_s: int = 0
) -> dict[str, str]:
    moment = str(int((clock.now() - timedelta(seconds=late_s)).timestamp()))
    return {
        "webhook-id": delivery,
        "webhook-timestamp": moment,
        "webhook-signature": "v1,old " + signature(secret, delivery, moment, body),
    }


def test_a_signed_message_starts_one_run_however_often_it_comes(
    pipelines: Pipelines, clock: ManualClock
) -> None:
    body = json.dumps({"x": "hello"}).encode()
    first = pipelines.receive_hook("push", headers=signed(clock, body), body=body)
    again = pipelines.receive_hook("push", headers=signed(clock, body), body=body)
    assert first == again
    assert (first.status, first.given) == ("started", {"x": "hello"})
    assert [run.id for run in pipelines.runs()] == [first.run]
    pipelines.receive_hook("push", headers=signed(clock, body, delivery="msg_2"), body=body)
    assert len(pipelines.runs()) == 2


def test_what_is_not_signed_with_the_secret_or_not_fresh_starts_nothing(
    pipelines: Pipelines, clock: ManualClock
) -> None:
    body = b"{}"
    good = signed(clock, body)
    wrong = [
        ("push", signed(clock, body, secret=b"guess"), body),
        ("push", good, b'{"x": "other"}'),
        ("push", good | {"webhook-id": "other"}, body),
        ("push", good | {"webhook-timestamp": "1"}, body),
        ("push", signed(clock, body, late_s=301), body),
        ("push", signed(clock, body, late_s=-301), body),
        ("push", {}, body),
        ("push", good | {"webhook-id": "a\nb"}, body),
        ("push", good | {"webhook-signature": "v1,é"}, body),
        ("unknown", good, body),
        ("../push", good, body),
    ]
    for name, headers, content in wrong:
        with pytest.raises(BadSignatureError) as caught:
            pipelines.receive_hook(name, headers=headers, body=content)
        assert SECRET.decode() not in str(caught.value)
    assert pipelines.runs() == []


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"y": 1}', b'{"x": "a", "z": 1}', b"[" * 10_000])
def test_a_body_sets_only_what_it_may(pipelines: Pipelines, clock: ManualClock, body: bytes) -> None:
    with pytest.raises(InvalidHookError):
        pipelines.receive_hook("push", headers=signed(clock, body), body=body)
    assert pipelines.causes("push") == []


def test_a_paused_hook_says_so_and_keeps_nothing(pipelines: Pipelines, clock: ManualClock) -> None:
    pipelines.pause_trigger("push")
    with pytest.raises(TriggerPausedError, match="again later"):
        pipelines.receive_hook("push", headers=signed(clock, b""), body=b"")
    pipelines.start_trigger("push")
    assert pipelines.receive_hook("push", headers=signed(clock, b""), body=b"").status == "started"


def test_the_secret_is_in_no_event_and_no_record(pipelines: Pipelines, clock: ManualClock) -> None:
    pipelines.receive_hook("push", headers=signed(clock, b""), body=b"")
    told = repr([(event.kind, event.payload) for event in pipelines.kernel.events.read()]) + repr(
        pipelines.triggers()
    )
    assert "hook_received" in told
    assert SECRET.decode() not in told
