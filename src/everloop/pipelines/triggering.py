"""The verbs of triggers: state them, pause, start, delete, look at their causes, take a webhook.

What a pass does is in triggers.py. Tests: tests/unit/pipelines/test_triggers.py, tests/unit/pipelines/test_hooks.py.
"""

from __future__ import annotations

import builtins
import re
from typing import TYPE_CHECKING, Any

from everloop.core.errors import ConflictError, InvalidInputError, NotFoundError
from everloop.kernel.operations import Service, operation
from everloop.pipelines import hooks, queries, trigger_queries, triggers
from everloop.pipelines.inputs import InvalidPipelineInputError, check_plain
from everloop.pipelines.records import RunOptions
from everloop.pipelines.trigger_records import Cause, Trigger, TriggerKind, WhenBusy

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class TriggerNotFoundError(NotFoundError):
    """No trigger has this name."""

    code = "pipelines.trigger-not-found"


class TriggerExistsError(ConflictError):
    """There is a trigger of this name."""

    code = "pipelines.trigger-exists"


class TriggerPausedError(ConflictError):
    """A webhook came for a trigger that is paused; nothing was kept of it."""

    code = "pipelines.trigger-paused"


class InvalidTriggerError(InvalidInputError):
    """A trigger cannot work as it is stated."""

    code = "pipelines.invalid-trigger"


class Triggers(Service):
    """What starts runs besides time: events, datasets, alerts, files, webhooks."""

    stage = "pipelines"

    @operation(
        "POST /triggers", needs="pipeline.schedule", emits="pipeline.trigger_added", cli="pipeline trigger"
    )
    def add_trigger(  # noqa: PLR0913 - each cause of runs has its own words
        self,
        name: str,
        pipeline: str,
        *,
        on: TriggerKind,
        what: str = "",
        subject: str = "*",
        where: dict[str, Any] | None = None,
        cause_input: str = "",
        accepts: builtins.list[str] | None = None,
        secret: str = "",
        stable_s: float = 10.0,
        existing: bool = False,
        max_active: int = 0,
        debounce_s: float = 0.0,
        when_busy: WhenBusy = "queue",
        inputs: dict[str, Any] | None = None,
        options: RunOptions | None = None,
    ) -> Trigger:
        """Start a run of a registered pipeline for each thing that happens from now on, once for each.

        Args:
            name: of the trigger; a webhook is sent to `/hooks/NAME`.
            pipeline: its name.
            on: `event`, `dataset`, `alert`, `file` or `webhook`.
            what: the event kind, `model.promoted`; the dataset, `flights` or `flights@main` for one branch; the alert's rule, or `*`;
                the path or URL with a pattern, `in/*.csv`, `s3://bucket/in/*.csv`.
            subject: pattern that the subject of an event or an alert must match.
            where: values that fields of its payload must have.
            cause_input: the pipeline's parameter that gets the subject, the dataset's version, or the file.
            accepts: the pipeline's parameters that the body of a webhook may set.
            secret: `env:NAME`, the variable in which the server finds a webhook's secret.
            stable_s: for so many seconds a file must keep its size.
            existing: whether files that are there already count.
            max_active: at most so many of its runs at once; 0 for no limit.
            debounce_s: wait until nothing came for so many seconds, then run once, for the newest cause.
            when_busy: causes beyond `max_active` wait (`queue`), only the newest waits (`latest`), or they are dropped (`skip`).
            inputs: values for the other parameters.
            options: how the runs are executed.

        Raises:
            InvalidTriggerError: it cannot work as it is stated.
            InvalidPipelineInputError: the pipeline has no such parameter.
            TriggerExistsError: there is one of this name.
            NotWatchedError: the settings do not open the place of the files to triggers.
        """
        with self.kernel.catalog.read() as connection:
            version, _ = queries.require_pipeline(connection, pipeline)
        made = Trigger(
            name=name, pipeline=pipeline, on=on, what=what, subject=subject, where=where or {},
            cause_input=cause_input, accepts=accepts or [], secret=secret,
            stable_s=stable_s if on == "file" else 0.0, max_active=max_active, debounce_s=debounce_s,
            when_busy=when_busy, inputs=inputs or {}, options=options or RunOptions(),
            created_at=self.kernel.clock.now(), position=self.kernel.events.last_position(),
        )  # fmt: skip
        _check(made, version.graph.inputs)
        files = triggers.list_files(what, self.kernel.settings.watch) if on == "file" else {}
        if existing:
            files = {}
        with self.kernel.catalog.transaction() as connection:
            if not trigger_queries.insert_trigger(connection, made):
                raise TriggerExistsError(
                    f"there is a trigger {name}. Delete it first, or choose another name.",
                    subject=f"trigger:{name}",
                )
            triggers.pass_over_files(connection, made, files, made.created_at)
            payload = {"pipeline": pipeline, "on": on, "what": what}
            self.emit(connection, subject=f"trigger:{name}", payload=payload)
        return made

    @operation("GET /triggers", needs="pipeline.read", cli="pipeline triggers")
    def triggers(self) -> builtins.list[Trigger]:
        """Return every trigger by name."""
        with self.kernel.catalog.read() as connection:
            return trigger_queries.read_triggers(connection)

    @operation("GET /triggers/{trigger}/causes", needs="pipeline.read", cli="pipeline causes")
    def causes(self, trigger: str, *, limit: int = 100) -> builtins.list[Cause]:
        """Return the latest causes of a trigger, and what came of each."""
        self._trigger(trigger)
        with self.kernel.catalog.read() as connection:
            return trigger_queries.read_causes(connection, trigger, limit)

    @operation(
        "POST /triggers/{trigger}/pause",
        needs="pipeline.schedule",
        emits="pipeline.trigger_paused",
        cli="pipeline trigger-pause",
    )
    def pause_trigger(self, trigger: str) -> Trigger:
        """Stop a trigger; what happens meanwhile is not made up, what waits goes on afterwards."""
        return self._pause_or_start(trigger, is_paused=True)

    @operation(
        "POST /triggers/{trigger}/start",
        needs="pipeline.schedule",
        emits="pipeline.trigger_started",
        cli="pipeline trigger-start",
    )
    def start_trigger(self, trigger: str) -> Trigger:
        """Let a paused trigger start runs again, for what happens from now on."""
        return self._pause_or_start(trigger, is_paused=False)

    @operation(
        "DELETE /triggers/{trigger}",
        needs="pipeline.schedule",
        emits="pipeline.trigger_deleted",
        cli="pipeline trigger-delete",
    )
    def delete_trigger(self, trigger: str) -> Trigger:
        """Delete a trigger with its causes; the runs it started stay."""
        found = self._trigger(trigger)
        with self.kernel.catalog.transaction() as connection:
            trigger_queries.delete_trigger(connection, trigger)
            self.emit(connection, subject=f"trigger:{trigger}", payload={"pipeline": found.pipeline})
        return found

    def receive_hook(self, name: str, *, headers: Mapping[str, str], body: bytes) -> Cause:
        """Take a webhook that the server got; a delivery that comes again is the same cause, and starts nothing.

        Args:
            name: of the trigger.
            headers: of the request, names in small letters.
            body: as it was sent, which is what was signed.

        Raises:
            BadSignatureError: there is no such hook, or it is not signed with its secret, or is too old.
            InvalidHookError: its body sets what it may not.
            TriggerPausedError: nothing is taken now.
        """
        with self.kernel.catalog.read() as connection:
            plan = next(
                (one for one in trigger_queries.read_triggers(connection, name) if one.on == "webhook"), None
            )
        if plan is None:
            # The same answer as to a wrong signature, so that nobody learns names by asking.
            hooks.verify({**headers, "webhook-signature": ""}, body, secret=b"-", now=self.kernel.clock.now())
            raise AssertionError("a message without a signature is refused")
        from everloop.alerting.channels.webhook import read_secret

        now = self.kernel.clock.now()
        delivery = hooks.verify(headers, body, secret=read_secret(plan.secret, name, noun="hook"), now=now)
        with self.kernel.catalog.transaction() as connection:
            version, _ = queries.require_pipeline(connection, plan.pipeline)
            given = hooks.read_params(body, plan, version.graph.inputs)
            if not trigger_queries.lock_trigger(connection, name):
                raise TriggerPausedError(
                    f"the hook {name} is paused. Send it again later.", subject=f"trigger:{name}"
                )
            cause = Cause(trigger=name, cause=delivery, given=given, seen_at=now)
            if trigger_queries.insert_causes(connection, [cause]):
                payload = {"cause": delivery, "sets": sorted(given)}
                self.kernel.events.append(
                    connection, kind="pipeline.hook_received", subject=f"trigger:{name}", payload=payload
                )
        triggers.start(self.kernel, plan, now)
        with self.kernel.catalog.read() as connection:
            return trigger_queries.read_cause(connection, name, delivery)

    def _trigger(self, name: str) -> Trigger:
        with self.kernel.catalog.read() as connection:
            found = trigger_queries.read_triggers(connection, name)
        if not found:
            raise TriggerNotFoundError(
                f"there is no trigger {name}. `everloop pipeline triggers` lists them.",
                subject=f"trigger:{name}",
            )
        return found[0]

    def _pause_or_start(self, name: str, *, is_paused: bool) -> Trigger:
        found = self._trigger(name)
        if found.is_paused == is_paused:
            self.unchanged()
            return found
        now, position = self.kernel.clock.now(), self.kernel.events.last_position()
        files: Mapping[str, int] = {}
        if found.on == "file" and not is_paused:
            files = triggers.list_files(found.what, self.kernel.settings.watch)
        with self.kernel.catalog.transaction() as connection:
            trigger_queries.set_paused(connection, name, is_paused=is_paused, position=position)
            triggers.pass_over_files(connection, found, files, now)
            self.emit(connection, subject=f"trigger:{name}", payload={"is_paused": is_paused})
            return trigger_queries.read_triggers(connection, name)[0]


def _check(plan: Trigger, known: Mapping[str, str]) -> None:
    """Refuse a trigger that cannot work.

    Raises:
        InvalidTriggerError, InvalidPipelineInputError: with the way out.
    """
    if not _NAME.fullmatch(plan.name):
        raise InvalidTriggerError(f"{plan.name!r} is no name. Use small letters, digits, - and _, up to 63.")
    if not plan.what and plan.on in ("event", "dataset", "file"):
        raise InvalidTriggerError(f"a trigger on {plan.on} needs what to watch. Give it with `what`.")
    if plan.on == "event" and plan.what == "pipeline.run_queued":
        raise InvalidTriggerError(
            "a run that is queued would queue the next one for ever. Watch another event."
        )
    _check_hook(plan)
    if min(plan.stable_s, plan.debounce_s, plan.max_active) < 0:
        raise InvalidTriggerError("stable_s, debounce_s and max_active are 0 or more.")
    if plan.when_busy != "queue" and not plan.max_active:
        raise InvalidTriggerError(f"when_busy={plan.when_busy} needs a limit. Give max_active.")
    check_plain(plan.inputs)
    named = [*plan.accepts, *plan.inputs, *([plan.cause_input] if plan.cause_input else [])]
    if unknown := sorted(set(named) - set(known)):
        raise InvalidPipelineInputError(
            f"the pipeline {plan.pipeline} has no input {', '.join(unknown)}. Its inputs: {', '.join(known) or 'none'}.",
            subject=f"pipeline:{plan.pipeline}",
        )


def _check_hook(plan: Trigger) -> None:
    if plan.on == "webhook":
        if plan.cause_input:
            raise InvalidTriggerError("a webhook sets parameters by its body. Name them with `accepts`.")
        if not plan.secret.startswith("env:"):
            raise InvalidTriggerError(
                "a webhook needs a secret to check signatures with. Set a variable in the server's environment and give env:NAME."
            )
        from everloop.alerting.channels.webhook import (
            read_secret,  # with its HTTP client, which most commands do without
        )

        read_secret(plan.secret, plan.name, noun="hook")
    elif plan.accepts or plan.secret:
        raise InvalidTriggerError("`accepts` and `secret` are for webhooks.")
