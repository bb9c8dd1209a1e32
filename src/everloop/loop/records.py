"""What a policy declares and what a cycle records. Tests: tests/unit/loop."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

from everloop.core.digests import digest_value
from everloop.monitoring.records import Metric
from everloop.registry.records import Gate
from everloop.serving.records import CanaryLimits

CycleState = Literal[
    "triggered",
    "checking_data",
    "training",
    "gating",
    "awaiting_approval",
    "canary",
    "promoted",
    "rejected",
    "rolled_back",
    "failed",
]
ENDED: frozenset[str] = frozenset({"promoted", "rejected", "rolled_back", "failed"})


class Watch(msgspec.Struct, frozen=True, kw_only=True):
    """What is watched of the deployment, window by window.

    Attributes:
        metric: the performance metric whose decay pages: `log_loss`, `brier` (lower is better) or `auc`.
        window: length of a window.
        tolerance: how much worse than the reference the metric may be before a window counts as bad.
        needed, of: an alert fires when `needed` of the last `of` windows are bad.
        min_labelled: fewer labelled rows in a window are insufficient data.
        drift: whether the inputs are compared with the training data; drift annotates and never pages.
    """

    metric: Metric = "log_loss"
    window: str = "7d"
    tolerance: float = 0.02
    needed: int = 2
    of: int = 3
    min_labelled: int = 500
    drift: bool = True


class Trigger(msgspec.Struct, frozen=True, kw_only=True):
    """What starts a cycle.

    Attributes:
        on_alert: a paging alert of the deployment does.
        every: so does this much time since the last cycle began; empty for never.
        cooldown: at least this much time lies between two cycles.
        min_labelled: with fewer labelled predictions since the last cycle the trigger waits.
        budget: at most this many cycles in 30 days.
    """

    on_alert: bool = True
    every: str = "30d"
    cooldown: str = "7d"
    min_labelled: int = 1000
    budget: int = 8


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """How a version that passed its gate takes over the traffic.

    Attributes:
        canary: percent of the traffic at each step.
        step: how long a step lasts at least.
        limits: when the canary goes on, waits or goes back.
    """

    canary: tuple[int, ...] = (10, 50)
    step: str = "1d"
    limits: CanaryLimits = CanaryLimits()


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """One loop, declared; its digest is on every decision it leads to.

    Attributes:
        model: name of the model, and of its deployment.
        pipeline: name of the registered pipeline that trains it.
        data: the pipeline's parameters that are datasets: parameter -> dataset name.
        params: its other parameters.
        holdout: the newest stretch of time is kept from training; the gate judges on its labelled predictions.
        gate: what a challenger must meet.
        approval: the role that must approve before the rollout; empty for none.
    """

    model: str
    pipeline: str
    data: dict[str, str]
    params: dict[str, Any] = {}
    holdout: str = "7d"
    watch: Watch = Watch()
    trigger: Trigger = Trigger()
    gate: Gate = msgspec.field(default_factory=Gate)
    approval: str = ""
    rollout: Rollout = Rollout()

    @property
    def digest(self) -> str:
        """Return the digest of everything the policy says."""
        return digest_value(self)


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a cycle: when, into which state, why, with the evidence."""

    at: datetime
    state: CycleState
    reason: str
    evidence: dict[str, Any] = {}


class Cycle(msgspec.Struct, frozen=True, kw_only=True):
    """One pass of the loop.

    Attributes:
        number: counts the cycles of a model from 1.
        policy: digest of the policy in force when it began; a later edit changes later cycles only.
        cause: what triggered it.
        data: dataset refs it trains on, pinned when it began.
        cut: training reads rows before this time, the gate judges on those after it.
        challenger, champion: versions of the model; 0 while there is none.
        gate_shift: Jensen-Shannon distance of challenger's and champion's scores on the gate's rows; only more than that is suspicious.
        canary_step: index into the rollout's steps.
        step_began_at: when the present canary step began.
    """

    id: str
    model: str
    number: int
    state: CycleState
    policy: str
    cause: str
    began_at: datetime
    updated_at: datetime
    data: dict[str, str] = {}
    cut: datetime | None = None
    run: str = ""
    challenger: int = 0
    champion: int = 0
    gate_report: str = ""
    gate_shift: float = 0.0
    canary_step: int = 0
    step_began_at: datetime | None = None
    history: tuple[Transition, ...] = ()

    @property
    def is_ended(self) -> bool:
        """Return whether the cycle has its verdict."""
        return self.state in ENDED


class ActivePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """A policy in force.

    Attributes:
        is_paused: nothing new is triggered; an open cycle goes on.
    """

    policy: Policy
    digest: str
    started_at: datetime
    is_paused: bool = False


class TriggerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the trigger's decision looks at.

    Attributes:
        alerts: messages of the open paging alerts.
        last_began_at: when the newest cycle began; None before the first.
        recent: cycles begun in the last 30 days.
        labelled: labelled predictions since the newest cycle began.
        has_champion: whether any version serves.
    """

    now: datetime
    alerts: tuple[str, ...]
    last_began_at: datetime | None
    recent: int
    labelled: int
    has_champion: bool


class TriggerVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether to begin a cycle, and why or why not."""

    begins: bool
    reason: str
