"""The alerting stage in a home of its own, with a file channel."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from everloop.alerting import Alerting, AlertRule, Observation

if TYPE_CHECKING:
    from tests.conftest import MakeKernel

    from everloop.alerting.records import Severity, State
    from everloop.core.clock import ManualClock


class Ward:
    """Alerting, with a hand on its clock and an eye on what it sends."""

    def __init__(self, alerting: Alerting, clock: ManualClock) -> None:
        self.alerting = alerting
        self.clock = clock

    def see(
        self,
        state: State,
        *,
        rule: str = "log_loss",
        severity: Severity = "page",
        subject: str = "deployment:delays",
        group: str = "",
    ) -> str:
        """Let an hour pass and observe a window of which one bad is enough; return the action."""
        self.clock.advance(3600)
        seen = Observation(
            rule=AlertRule(name=rule, severity=severity, needed=1, of=1, cooldown="2h"),
            subject=subject, state=state, at=self.clock.now(), message=f"{rule} is {state}", group=group,
        )  # fmt: skip
        return self.alerting.observe([seen])[0].action

    def sent(self) -> list[dict[str, Any]]:
        """Return what arrived in the file, after a tick."""
        self.alerting.tick()
        file = self.alerting.kernel.home / "alerts" / "ops.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def wait(self, hours: float) -> None:
        """Let time pass."""
        self.clock.move_to(self.clock.now() + timedelta(hours=hours))


@pytest.fixture
def ward(make_kernel: MakeKernel, clock: ManualClock, catalog_url: str) -> Ward:
    alerting = Alerting(make_kernel(clock=clock, catalog_url=catalog_url))
    alerting.set_channel("ops", kind="file")
    return Ward(alerting, clock)
