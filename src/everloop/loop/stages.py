"""What each state of a cycle does: the work, and the transition it ends in.

Each function may be run again after a kill: training resumes its pipeline run, registering the same content gives the same version, a gate
is judged again on the same rows, weights are set to what they are. Decisions are in `rules.py`. Tests: tests/integration/test_loop.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from everloop.core.digests import digest_bytes
from everloop.core.errors import EverloopError
from everloop.loop import rules
from everloop.loop.facts import canary_facts, gate_rows, newest_time, score_shift, training_tables
from everloop.loop.records import Cycle, CycleState, Policy, Transition
from everloop.registry.model import Model

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from everloop.data.service import Data
    from everloop.data.table import Table
    from everloop.kernel.operations import Kernel
    from everloop.registry.records import GateReport
    from everloop.registry.service import Registry
    from everloop.serving.service import Serving


class Trained(msgspec.Struct, frozen=True, kw_only=True):
    """How a training run ended."""

    id: str
    result: Any = None
    error: str = ""


class Hands(Protocol):
    """What a state may reach: the stages below, and the two acts that need several of them."""

    kernel: Kernel
    data: Data
    registry: Registry
    serving: Serving

    def train(self, policy: Policy, tables: Mapping[str, Table]) -> Trained:
        """Run the policy's pipeline."""
        ...

    def promote(self, model: str, version: int, *, reason: str) -> None:
        """Make a version the champion."""
        ...


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What running a state leads to: the next transition, and the cycle's changed fields."""

    transition: Transition
    changes: dict[str, Any] = {}


def run_state(loop: Hands, cycle: Cycle, policy: Policy) -> Step | None:
    """Do the work of a cycle's present state; None when it has to wait.

    An error of ours ends the cycle as `failed` with its reason: a broken pipeline must not be retried for ever by a scheduler.
    """
    try:
        return _STATES[cycle.state](loop, cycle, policy)
    except EverloopError as error:
        return _to(loop, "failed", f"{cycle.state.replace('_', ' ')}: {error}", code=error.code)


def _triggered(loop: Hands, cycle: Cycle, policy: Policy) -> Step:
    data = {name: _pinned(loop, dataset) for name, dataset in policy.data.items()}
    cut = rules.training_cut(loop.kernel.clock.now(), policy.holdout, has_champion=bool(cycle.champion))
    reason = f"training reads {', '.join(data.values())} until {cut:%Y-%m-%d %H:%M}"
    return _to(loop, "checking_data", reason, changes={"data": data, "cut": cut}, data=data)


def _pinned(loop: Hands, dataset: str) -> str:
    version = loop.data.version(dataset)
    return f"{version.dataset}@v{version.version}"


def _checking_data(loop: Hands, cycle: Cycle, policy: Policy) -> Step:
    del policy
    found = {ref: loop.data.version(ref) for ref in cycle.data.values()}
    for ref, version in found.items():
        if version.suite is not None and version.suite.verdict == "failed":
            return _to(
                loop,
                "rejected",
                f"the data is not fit to train on: {ref} failed its suite {version.suite.suite}",
            )
    told = {ref: version.suite.verdict if version.suite else "no suite" for ref, version in found.items()}
    rows = sum(version.rows for version in found.values())
    return _to(loop, "training", f"{rows:,} rows, no check of severity fail broke", checks=told)


def _training(loop: Hands, cycle: Cycle, policy: Policy) -> Step:
    tables = training_tables(loop.data, cycle.data, cycle.cut)
    trained_until = newest_time(loop.data, cycle.data, tables)
    run = loop.train(policy, tables)
    if run.error:
        return _to(loop, "failed", f"the pipeline failed: {run.error}", changes={"run": run.id}, run=run.id)
    model = run.result
    if not isinstance(model, Model):
        return _to(
            loop,
            "failed",
            f"the pipeline returned a {type(model).__name__}, not an everloop.Model",
            run=run.id,
        )
    version = loop.registry.register(
        policy.model,
        model,
        run=run.id,
        data=sorted(cycle.data.values()),
        trained_until=trained_until,
        note=f"cycle {cycle.number}",
    )
    changes = {"run": run.id, "challenger": version.version}
    evidence = {"run": run.id, "model": version.digest}
    if version.version == cycle.champion:
        return _to(
            loop,
            "rejected",
            "training gave the champion's very content: nothing new was learned",
            changes=changes,
            **evidence,
        )
    if not cycle.champion:
        return _first_version(loop, cycle, changes, evidence)
    reason = f"v{version.version} trained on {', '.join(version.data)}"
    return _to(loop, "gating", reason, changes=changes, **evidence)


def _first_version(loop: Hands, cycle: Cycle, changes: dict[str, Any], evidence: dict[str, Any]) -> Step:
    version = changes["challenger"]
    loop.promote(cycle.model, version, reason="first version: there is no champion to hold it against")
    reason = (
        f"v{version} is the first version; no gate could judge it, for there are no labelled predictions yet"
    )
    return _to(loop, "promoted", reason, changes=changes, **evidence)


def _gating(loop: Hands, cycle: Cycle, policy: Policy) -> Step:
    challenger, champion = (f"{cycle.model}@v{version}" for version in (cycle.challenger, cycle.champion))
    rows = gate_rows(
        loop.serving, cycle, loop.kernel.clock.now(), loop.registry.get(champion).signature.output.target
    )
    report = loop.registry.check_gate(
        challenger,
        rows,
        gate=policy.gate,
        time="time",
        champion=champion,
        data=f"deployment:{cycle.model}",
    )
    evidence = {
        "gate report": report.id,
        "conditions": [f"{c.name} {c.result}: {c.reason}" for c in report.conditions],
    }
    shift = score_shift(loop.registry.score(challenger, rows), loop.registry.score(champion, rows)) or 0.0
    changes = {"gate_report": report.id, "gate_shift": shift}
    if report.result != "pass":
        return _to(loop, "rejected", _refusal(report), changes=changes, **evidence)
    reason = f"v{cycle.challenger} met all {len(report.conditions)} conditions"
    if policy.approval:
        return _to(
            loop,
            "awaiting_approval",
            f"{reason}; the role {policy.approval} must approve",
            changes=changes,
            **evidence,
        )
    return _start_canary(loop, cycle, policy, 0, reason, changes, evidence)


def _refusal(report: GateReport) -> str:
    bad = [c for c in report.conditions if c.result != "pass"]
    return "the gate refuses: " + "; ".join(f"{c.name} {c.result} ({c.reason})" for c in bad)


def _awaiting_approval(loop: Hands, cycle: Cycle, policy: Policy) -> Step | None:
    report = next(
        r for r in loop.registry.gate_reports(cycle.model, cycle.challenger) if r.id == cycle.gate_report
    )
    judged = digest_bytes(msgspec.json.encode(report))
    valid = [a for a in loop.registry.approvals(cycle.model, cycle.challenger) if a.gate_report == judged]
    if not valid:
        return None
    return _start_canary(
        loop, cycle, policy, 0, f"approved by {valid[-1].actor}", {}, {"approval": valid[-1].id}
    )


def _start_canary(
    loop: Hands,
    cycle: Cycle,
    policy: Policy,
    index: int,
    reason: str,
    changes: dict[str, Any],
    evidence: dict[str, Any],
) -> Step:
    given = rules.weights(cycle.champion, cycle.challenger, policy.rollout.canary[index])
    loop.serving.set_weights(cycle.model, given, reason=f"cycle {cycle.number}: canary")
    moved = {**changes, "canary_step": index, "step_began_at": loop.kernel.clock.now()}
    return _to(
        loop, "canary", f"{reason}; traffic {rules.describe_weights(given)}", changes=moved, **evidence
    )


def _canary(loop: Hands, cycle: Cycle, policy: Policy) -> Step | None:
    now = loop.kernel.clock.now()
    facts = canary_facts(loop.serving, cycle, now)
    verdict = rules.judge_canary(
        policy.rollout, facts, elapsed=now - (cycle.step_began_at or cycle.updated_at)
    )
    reason = "; ".join(verdict.reasons)
    evidence: dict[str, Any] = {"facts": facts}
    if verdict.action == "hold":
        return None
    if verdict.action == "roll_back":
        loop.serving.set_weights(cycle.model, {cycle.champion: 1.0}, reason=f"cycle {cycle.number}: {reason}")
        return _to(loop, "rolled_back", reason, **evidence)
    following = cycle.canary_step + 1
    if following < len(policy.rollout.canary):
        return _start_canary(loop, cycle, policy, following, reason, {}, evidence)
    loop.promote(cycle.model, cycle.challenger, reason=f"cycle {cycle.number}: passed gate and canary")
    return _to(loop, "promoted", f"v{cycle.challenger} takes all traffic: {reason}", **evidence)


def _to(
    loop: Hands, state: CycleState, reason: str, *, changes: dict[str, Any] | None = None, **evidence: object
) -> Step:
    moved = Transition(
        at=loop.kernel.clock.now(), state=state, reason=reason, evidence=msgspec.to_builtins(evidence)
    )
    return Step(transition=moved, changes=changes or {})


_STATES: dict[str, Callable[[Hands, Cycle, Policy], Step | None]] = {
    "triggered": _triggered,
    "checking_data": _checking_data,
    "training": _training,
    "gating": _gating,
    "awaiting_approval": _awaiting_approval,
    "canary": _canary,
}
