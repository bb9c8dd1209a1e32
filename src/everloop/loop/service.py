"""The verbs of the loop, and the pass that moves every cycle as far as it can go. Tests: tests/integration/test_loop.py."""

from __future__ import annotations

import builtins
import logging
from typing import TYPE_CHECKING, Any

import msgspec

from everloop.core.actors import Actor, acting_as
from everloop.core.errors import EverloopError
from everloop.core.ids import new_id
from everloop.kernel.operations import Service, operation
from everloop.loop import rules, store
from everloop.loop.records import ActivePolicy, Cycle, Policy, Transition, TriggerFacts, TriggerVerdict
from everloop.loop.stages import Step, Trained, run_state
from everloop.loop.story import headline, tell
from everloop.monitoring.records import Monitor

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    import sqlalchemy as sa

    from everloop.alerting import Alerting
    from everloop.data.service import Data
    from everloop.data.table import Table
    from everloop.kernel import Kernel
    from everloop.monitoring.service import Monitoring
    from everloop.pipelines.service import Pipelines
    from everloop.pipelines.steps import Pipeline
    from everloop.registry.service import Registry
    from everloop.serving.service import Serving

SYSTEM = Actor(name="system:loop", roles=frozenset({"admin"}))
_log = logging.getLogger(__name__)


class Loop(Service):
    """Policies and cycles. The only stage that combines stages."""

    stage = "loop"

    def __init__(
        self,
        kernel: Kernel,
        *,
        data: Data,
        pipelines: Pipelines,
        registry: Registry,
        serving: Serving,
        monitoring: Monitoring,
        alerting: Alerting,
    ) -> None:
        super().__init__(kernel)
        self.data = data
        self.pipelines = pipelines
        self.registry = registry
        self.serving = serving
        self.monitoring = monitoring
        self.alerting = alerting

    def start(self, policy: Policy, *, pipeline: Pipeline[..., Any] | None = None) -> ActivePolicy:
        """Put a policy in force; from now on the scheduler acts on it.

        Args:
            policy: the declaration.
            pipeline: the pipeline it names, registered with its code; without one it must be registered already.
        """
        if pipeline is not None:
            self.pipelines.register(pipeline)
        watch = policy.watch
        monitor = Monitor(
            model=policy.model,
            metric=watch.metric,
            window=watch.window,
            tolerance=watch.tolerance,
            needed=watch.needed,
            of=watch.of,
            min_labelled=watch.min_labelled,
            drift=watch.drift,
        )
        self.monitoring.set_monitor(policy.model, monitor=monitor)
        return self.set_policy(policy.model, policy=policy)

    @operation(
        "PUT /policies/{model}",
        needs="loop.set",
        emits="loop.policy_set",
        cli=None,
        cli_reason="a policy is code: `app.loop.start(policy)`",
    )
    def set_policy(self, model: str, *, policy: Policy) -> ActivePolicy:
        """Put a policy in force for a model; an open cycle ends under the policy it began with."""
        given = msgspec.structs.replace(policy, model=model)
        with self.kernel.catalog.transaction(durable=True) as connection:
            if store.put_policy(connection, given, self.kernel.clock.now()):
                self.emit(connection, subject=f"model:{model}", payload={"policy": given.digest})
            else:
                self.unchanged()
            return next(p for p in store.active_policies(connection) if p.policy.model == model)

    @operation("GET /policies", needs="loop.read", cli="loop ls")
    def policies(self) -> builtins.list[ActivePolicy]:
        """Return the policies in force."""
        with self.kernel.catalog.read() as connection:
            return store.active_policies(connection)

    @operation("POST /policies/{model}/pause", needs="loop.pause", emits="loop.paused", cli="loop pause")
    def pause(self, model: str) -> ActivePolicy:
        """Begin no new cycle of a model; an open one goes on."""
        return self._set_paused(model, is_paused=True)

    @operation(
        "POST /policies/{model}/resumption", needs="loop.pause", emits="loop.resumed", cli="loop resume"
    )
    def resume(self, model: str) -> ActivePolicy:
        """Let cycles of a model begin again."""
        return self._set_paused(model, is_paused=False)

    def _set_paused(self, model: str, *, is_paused: bool) -> ActivePolicy:
        with self.kernel.catalog.transaction() as connection:
            store.pause(connection, model, is_paused=is_paused)
            self.emit(connection, subject=f"model:{model}")
            return next(p for p in store.active_policies(connection) if p.policy.model == model)

    @operation(
        "POST /policies/{model}/cycles", needs="loop.trigger", emits="cycle.triggered", cli="loop trigger"
    )
    def trigger(self, model: str, *, reason: str) -> Cycle:
        """Begin a cycle by hand, whatever the cooldown; the reason is kept."""
        found = [p for p in self.policies() if p.policy.model == model]
        if not found:
            raise store.PolicyNotFoundError(
                f"the model {model} has no policy. `everloop loop ls` lists them.", subject=f"model:{model}"
            )
        return self._begin(found[0].policy, f"by hand: {reason}")

    @operation("GET /models/{model}/cycles", needs="loop.read", cli="loop cycles")
    def cycles(self, model: str, *, limit: int = 100, before: int = 0) -> builtins.list[Cycle]:
        """Return cycles of a model, newest first, below the number `before` when given."""
        with self.kernel.catalog.read() as connection:
            return store.list_cycles(connection, model, limit=limit, before=before)

    @operation("GET /cycles/{cycle}", needs="loop.read", cli="loop show")
    def get(self, cycle: str) -> Cycle:
        """Return a cycle by its id."""
        with self.kernel.catalog.read() as connection:
            return store.find_cycle(connection, cycle)

    def explain(self, cycle: str) -> str:
        """Return the chain of a cycle as text: what happened, why, on what evidence.

        Args:
            cycle: its id, or its model and number, `delays/3`.
        """
        return tell(self.find(cycle))

    def find(self, cycle: str) -> Cycle:
        """Return a cycle by its id, or by its model and number, `delays/3`.

        Raises:
            CycleNotFoundError: there is none.
        """
        model, _, number = cycle.partition("/")
        if not number.isdecimal():
            return self.get(cycle)
        found = [c for c in self.cycles(model, before=int(number) + 1, limit=1) if c.number == int(number)]
        if not found:
            raise store.CycleNotFoundError(
                f"there is no cycle {cycle}. `everloop loop cycles {model}` lists them.",
                subject=f"cycle:{cycle}",
            )
        return found[0]

    def tick(self) -> builtins.list[Cycle]:
        """Make one pass: begin what is due, and move every open cycle as far as it can go; return the cycles that moved.

        Any number of processes may call it: a cycle is worked on by the one that claimed it, and moves are fenced.
        """
        with acting_as(SYSTEM):
            return [moved for active in self.policies() if (moved := self._tick_alone(active)) is not None]

    def _tick_alone(self, active: ActivePolicy) -> Cycle | None:
        try:
            return self._tick_one(active)
        except EverloopError as error:
            # The loops of other models go on; this one is tried again in the next pass.
            _log.warning(
                "the loop of %s could not move: %s", active.policy.model, error, extra={"code": error.code}
            )
            return None

    def _tick_one(self, active: ActivePolicy) -> Cycle | None:
        model = active.policy.model
        with self.kernel.catalog.read() as connection:
            cycle = store.open_cycle(connection, model)
        if cycle is None:
            if active.is_paused:
                return None
            verdict = self._should_begin(active)
            if not verdict.begins:
                return None
            cycle = self._begin(active.policy, verdict.reason)
            self._run(cycle)
            return self.get(cycle.id)
        moved = self._run(cycle)
        return moved if moved.history != cycle.history else None

    def _run(self, cycle: Cycle) -> Cycle:
        with self.kernel.catalog.read() as connection:
            policy = store.policy_by_digest(connection, cycle.policy)
        with store.claimed(self.kernel.catalog, cycle) as is_mine:
            while is_mine and not cycle.is_ended:
                step = run_state(self, cycle, policy)
                if step is None:
                    break
                cycle = self._move(cycle, step)
        return cycle

    def _begin(self, policy: Policy, cause: str) -> Cycle:
        now = self.kernel.clock.now()
        champion = self._champion(policy.model)
        with self.kernel.catalog.transaction(durable=True) as connection:
            made = Cycle(
                id=new_id(),
                model=policy.model,
                number=store.next_number(connection, policy.model),
                state="triggered",
                policy=policy.digest,
                cause=cause,
                began_at=now,
                updated_at=now,
                champion=champion,
                history=(
                    Transition(at=now, state="triggered", reason=cause, evidence={"policy": policy.digest}),
                ),
            )
            store.insert_cycle(connection, made)
            self._tell(connection, made)
        return made

    def _move(self, cycle: Cycle, step: Step) -> Cycle:
        after = msgspec.structs.replace(
            cycle,
            state=step.transition.state,
            updated_at=step.transition.at,
            history=(*cycle.history, step.transition),
            **step.changes,
        )
        with self.kernel.catalog.transaction(durable=True) as connection:
            store.move_cycle(connection, cycle, after)
            self._tell(connection, after)
        _log.info("cycle moved", extra={"cycle": after.id, "state": after.state, "verdict": headline(after)})
        return after

    def _tell(self, connection: sa.Connection, cycle: Cycle) -> None:
        last = cycle.history[-1]
        subject = f"cycle:{cycle.id}"
        payload = {
            "model": cycle.model,
            "number": cycle.number,
            "reason": last.reason,
            "evidence": last.evidence,
        }
        event = self.emit(connection, kind=f"cycle.{cycle.state}", subject=subject, payload=payload)
        for verb, other in (
            ("trained_in", f"run:{cycle.run}" if cycle.run else ""),
            ("led_to", self._version(cycle)),
        ):
            if other:
                self.kernel.events.link(connection, source=subject, verb=verb, target=other, event=event)

    def _version(self, cycle: Cycle) -> str:
        return f"model:{cycle.model}@v{cycle.challenger}" if cycle.challenger else ""

    def _champion(self, model: str) -> int:
        models = {found.name: found for found in self.registry.list(limit=10_000)}
        return models[model].aliases.get("champion", 0) if model in models else 0

    def _should_begin(self, active: ActivePolicy) -> TriggerVerdict:
        """Decide; the labels are counted last, for only that reads the log."""
        policy, facts = active.policy, self._trigger_facts(active)
        verdict = rules.should_begin(policy.trigger, facts)
        if not verdict.begins:
            return verdict
        labelled = self._labelled_since(policy.model, facts.last_began_at, facts.now)
        return rules.should_begin(policy.trigger, msgspec.structs.replace(facts, labelled=labelled))

    def _trigger_facts(self, active: ActivePolicy) -> TriggerFacts:
        policy, now = active.policy, self.kernel.clock.now()
        has_champion = self._champion(policy.model) > 0
        with self.kernel.catalog.read() as connection:
            newest = store.list_cycles(connection, policy.model, limit=1, before=0)
            recent = store.begun_since(connection, policy.model, now - rules.BUDGET_WINDOW)
        # A champion that came without a cycle is as old as the policy that watches it.
        began = newest[0].began_at if newest else active.started_at if has_champion else None
        alerts = self.alerting.list(subject=f"deployment:{policy.model}", is_open=True)
        return TriggerFacts(
            now=now,
            alerts=tuple(alert.message for alert in alerts if alert.severity == "page"),
            last_began_at=began,
            recent=recent,
            labelled=policy.trigger.min_labelled,
            has_champion=has_champion,
        )

    def _labelled_since(self, model: str, began: datetime | None, now: datetime) -> int:
        if began is None or not any(found.deployment == model for found in self.serving.list(limit=10_000)):
            return 0
        return self.serving.labelled(model, began, now, known_by=now).num_rows

    def train(self, policy: Policy, tables: Mapping[str, Table]) -> Trained:
        """Run the policy's pipeline; what a run that was cut off had finished comes from the cache."""
        try:
            run = self.pipelines.run(policy.pipeline, {**policy.params, **tables})
        except EverloopError as error:
            return Trained(id="", error=str(error))
        if run.status != "finished":
            return Trained(id=run.id, error=run.error or run.status)
        return Trained(id=run.id, result=self.pipelines.result(run.id))

    def promote(self, model: str, version: int, *, reason: str) -> None:
        """Make a version the champion: alias, all of the traffic, and the reference its monitor compares with."""
        self.registry.set_alias(model, "champion", version=version, reason=reason)
        self.serving.deploy(model, f"{model}@v{version}", reason=reason)
        self.monitoring.rebase(model, version=version)
        self.alerting.close_all(f"deployment:{model}", reason=f"v{version} was promoted: {reason}")
