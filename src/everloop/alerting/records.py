"""Values of the alerting stage. Tests: tests/unit/alerting."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

Severity = Literal["info", "warn", "page"]
State = Literal["ok", "bad", "insufficient"]
AlertState = Literal["firing", "acknowledged", "resolved"]
ChannelKind = Literal["terminal", "file", "webhook"]


class AlertRule(msgspec.Struct, frozen=True, kw_only=True):
    """When observations become an alert.

    Attributes:
        name: of the rule, unique per subject: `log_loss`, `drift`.
        severity: what a breach means; drift never pages by default, because it does not predict harm.
        needed, of: fire when `needed` of the last `of` observations are bad.
        cooldown: after an alert ended, how long the same rule stays silent unless its severity rises.
    """

    name: str
    severity: Severity = "page"
    needed: int = 2
    of: int = 3
    cooldown: str = "24h"


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """One judged figure.

    Attributes:
        rule: the rule it feeds.
        subject: `deployment:delays`.
        state: `insufficient` neither fires nor resolves.
        at: end of the window it speaks of.
        message: one sentence with the figure and the limit.
        group: root cause to group by; alerts of one group are delivered as one.
        evidence: further facts for machines.
    """

    rule: AlertRule
    subject: str
    state: State
    at: datetime
    message: str
    group: str = ""
    evidence: dict[str, Any] = {}


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """A condition that fired."""

    id: str
    rule: str
    subject: str
    severity: Severity
    state: AlertState
    message: str
    group: str
    opened_at: datetime
    updated_at: datetime
    observations: int
    acknowledged_by: str = ""
    evidence: dict[str, Any] = {}


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule remembers of one subject between observations."""

    recent: tuple[State, ...] = ()
    open_alert: str = ""
    open_severity: Severity = "info"
    last_ended_at: datetime | None = None
    last_severity: Severity = "info"
    last_at: datetime | None = None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What an observation leads to, and why."""

    action: Literal["none", "fire", "repeat", "resolve"]
    reason: str


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """What delivers alerts.

    Attributes:
        target: a file name below the home for `file`, an address for `webhook`, nothing for `terminal`.
        secret: where the signing secret of a webhook is: `env:NAME` or `file:PATH`; never the secret itself.
        severities: what it delivers.
    """

    name: str
    kind: ChannelKind
    target: str = ""
    secret: str = ""
    severities: tuple[Severity, ...] = ("warn", "page")


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """A time in which a rule of a subject does not fire."""

    subject: str
    rule: str
    until: datetime
    reason: str


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One message to one channel, and how it went."""

    id: str
    alert: str
    channel: str
    kind: Literal["fired", "resolved"]
    attempts: int
    delivered_at: datetime | None
    error: str = ""
