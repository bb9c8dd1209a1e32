"""Alerts in the catalog: opened, delivered, grouped, silenced, closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from tests.unit.alerting.conftest import Ward

from everloop.alerting import Alerting
from everloop.alerting.channels.webhook import UnlistedHostError
from everloop.alerting.service import AlertNotFoundError
from everloop.core.actors import Actor, acting_as
from everloop.core.ids import new_id
from everloop.kernel.operations.calls import InvalidArgumentError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import MakeKernel

    from everloop.core.clock import ManualClock


def test_a_breach_opens_an_alert_with_its_event_and_its_message(ward: Ward) -> None:
    assert ward.see("bad") == "fire"

    (found,) = ward.alerting.list()
    assert (found.state, found.severity, found.subject) == ("firing", "page", "deployment:delays")
    kinds = [event.kind for event in ward.alerting.kernel.events.read()]
    assert kinds == ["alert.channel_set", "alert.fired"]
    assert ward.alerting.kernel.events.edges("deployment:delays")[0].target == f"alert:{found.id}"
    (message,) = ward.sent()
    assert (message["kind"], message["alert"]["id"]) == ("fired", found.id)


def test_a_repeated_breach_counts_and_sends_nothing_more(ward: Ward) -> None:
    assert [ward.see("bad") for _ in range(3)] == ["fire", "repeat", "repeat"]

    (found,) = ward.alerting.list()
    assert found.observations == 3
    assert len(ward.sent()) == 1


def test_a_message_is_delivered_once(ward: Ward) -> None:
    ward.see("bad")

    assert [ward.alerting.tick(), ward.alerting.tick()] == [1, 0]


def test_the_end_is_told_where_the_beginning_was(ward: Ward) -> None:
    ward.see("bad")
    assert ward.see("ok") == "resolve"

    assert [message["kind"] for message in ward.sent()] == ["fired", "resolved"]
    assert ward.alerting.list(is_open=True) == []
    assert ward.alerting.list()[0].state == "resolved"


def test_alerts_of_one_group_are_delivered_as_one(ward: Ward) -> None:
    ward.see("bad", rule="log_loss", group="input:temp")
    ward.see("bad", rule="brier", group="input:temp")

    assert len(ward.alerting.list(is_open=True)) == 2
    assert [message["alert"]["rule"] for message in ward.sent()] == ["log_loss"]

    ward.see("ok", rule="log_loss", group="input:temp")
    ward.see("ok", rule="brier", group="input:temp")
    sent = ward.sent()
    assert [(message["kind"], message["alert"]["rule"]) for message in sent] == [
        ("fired", "log_loss"), ("resolved", "log_loss"),
    ]  # fmt: skip
    assert "1 more of its group still open" in sent[1]["alert"]["message"]


def test_a_page_is_not_held_back_by_a_warning_of_its_group(ward: Ward) -> None:
    ward.see("bad", rule="drift", severity="warn", group="input:temp")
    ward.see("bad", rule="log_loss", severity="page", group="input:temp")

    assert [message["alert"]["severity"] for message in ward.sent()] == ["warn", "page"]


def test_a_channel_delivers_only_its_severities(ward: Ward) -> None:
    ward.alerting.set_channel("ops", kind="file", severities=("page",))
    ward.see("bad", rule="drift", severity="warn")
    ward.see("bad", rule="log_loss", severity="page")

    assert [message["alert"]["severity"] for message in ward.sent()] == ["page"]


def test_a_silenced_rule_does_not_fire_until_the_silence_ends(ward: Ward) -> None:
    ward.alerting.silence("deployment:delays", "log_loss", duration="3h", reason="known")

    actions = [ward.see("bad") for _ in range(4)]

    assert actions == ["none", "none", "fire", "repeat"]
    assert ward.see("bad", rule="brier") == "fire"


def test_an_acknowledged_alert_stays_open_and_names_who_took_it(ward: Ward) -> None:
    ward.see("bad")
    with acting_as(Actor(name="user:ada", roles=frozenset({"operator"}))):
        taken = ward.alerting.acknowledge(ward.alerting.list()[0].id, comment="mine")

    assert (taken.state, taken.acknowledged_by) == ("acknowledged", "user:ada")
    assert ward.see("bad") == "repeat"
    assert ward.alerting.list(is_open=True)[0].state == "acknowledged"
    assert ward.see("ok") == "resolve"


def test_an_unknown_alert_cannot_be_acknowledged(ward: Ward) -> None:
    with pytest.raises(AlertNotFoundError, match="nothing"):
        ward.alerting.acknowledge("nothing")


def test_closing_all_of_a_subject_ends_its_alerts_and_leaves_others(ward: Ward) -> None:
    ward.see("bad")
    ward.see("bad", rule="brier")
    ward.see("bad", subject="deployment:other")

    assert ward.alerting.close_all("deployment:delays", reason="v4 was promoted") == 2

    assert [found.subject for found in ward.alerting.list(is_open=True)] == ["deployment:other"]
    assert ward.see("bad") == "none"  # cools down
    ward.wait(2)
    assert ward.see("bad") == "fire"


def test_a_channel_that_fails_is_tried_again_later_and_then_again(ward: Ward) -> None:
    folder = ward.alerting.kernel.home / "alerts"
    folder.write_text("in the way")
    ward.see("bad")

    assert ward.alerting.tick() == 0
    assert ward.alerting.tick() == 0  # not yet due
    (waiting,) = ward.alerting.deliveries()
    assert (waiting.attempts, waiting.delivered_at) == (1, None)
    assert "cannot be written" in waiting.error

    folder.unlink()
    ward.wait(0.1)
    assert ward.alerting.tick() == 1
    (done,) = ward.alerting.deliveries()
    assert (done.attempts, done.error) == (2, "")
    assert done.delivered_at is not None


def test_a_channel_whose_secret_is_gone_does_not_hold_up_the_others(
    make_kernel: MakeKernel, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    alerting = Alerting(make_kernel(clock=clock, webhook_hosts=["127.0.0.1"]))
    monkeypatch.setenv("HOOK_SECRET", "s")
    alerting.set_channel("hook", kind="webhook", target="http://127.0.0.1:9/x", secret="env:HOOK_SECRET")
    alerting.set_channel("ops", kind="file")
    monkeypatch.delenv("HOOK_SECRET")
    ward = Ward(alerting, clock)
    ward.see("bad")

    assert len(ward.sent()) == 1
    errors = {delivery.channel: delivery.error for delivery in alerting.deliveries()}
    assert errors["ops"] == ""
    assert "HOOK_SECRET" in errors["hook"]


def test_a_channel_that_cannot_work_is_refused_when_it_is_set(ward: Ward) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        ward.alerting.set_channel("pigeons", kind="pigeon")  # type: ignore[arg-type]
    assert caught.value.path == "$.kind"

    with pytest.raises(UnlistedHostError):
        ward.alerting.set_channel("hook", kind="webhook", target="http://127.0.0.1/x")
    assert [channel.name for channel in ward.alerting.channels()] == ["ops"]


def test_pages_of_alerts_do_not_overlap(ward: Ward) -> None:
    for number in range(5):
        ward.see("bad", rule=f"rule{number}")

    first = ward.alerting.list(limit=3)
    rest = ward.alerting.list(limit=3, after=first[-1].id)

    assert [found.rule for found in first + rest] == [f"rule{number}" for number in (4, 3, 2, 1, 0)]


class Alerts(RuleBasedStateMachine):
    """Any order of windows, silences, acknowledgements and promotions."""

    ward: ClassVar[Ward]

    def __init__(self) -> None:
        super().__init__()
        self.subject = f"deployment:{new_id()}"

    @rule(
        state=st.sampled_from(["ok", "bad", "bad", "insufficient"]),
        name=st.sampled_from(["loss", "drift"]),
        severity=st.sampled_from(["warn", "page"]),
    )
    def window(self, state: str, name: str, severity: str) -> None:
        self.ward.see(state, rule=name, severity=severity, subject=self.subject, group=self.subject)  # type: ignore[arg-type]

    @rule(name=st.sampled_from(["loss", "drift"]), hours=st.integers(0, 3))
    def silence(self, name: str, hours: int) -> None:
        self.ward.alerting.silence(self.subject, name, duration=f"{hours}h", reason="known")

    @rule()
    def acknowledge(self) -> None:
        for found in self.ward.alerting.list(subject=self.subject, is_open=True)[:1]:
            self.ward.alerting.acknowledge(found.id)

    @rule()
    def promote(self) -> None:
        self.ward.alerting.close_all(self.subject, reason="promoted")

    @rule()
    def deliver(self) -> None:
        self.ward.alerting.tick()

    @invariant()
    def one_is_open(self) -> None:
        rules = [found.rule for found in self.ward.alerting.list(subject=self.subject, is_open=True)]
        assert len(rules) == len(set(rules))

    @invariant()
    def each_message_goes_out_once(self) -> None:
        for found in self.ward.alerting.list(subject=self.subject):
            kinds = [sent.kind for sent in self.ward.alerting.deliveries(alert_id=found.id)]
            assert len(kinds) == len(set(kinds))
            assert "fired" in kinds or not kinds


def test_never_two_open_alerts_of_one_rule_and_subject(
    make_kernel: MakeKernel, clock: ManualClock, tmp_path: Path
) -> None:
    alerting = Alerting(make_kernel(clock=clock, home=tmp_path / "machine"))
    alerting.set_channel("ops", kind="file")
    Alerts.ward = Ward(alerting, clock)

    run_state_machine_as_test(
        Alerts,
        settings=settings(
            max_examples=15, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
