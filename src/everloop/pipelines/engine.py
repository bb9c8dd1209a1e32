"""Carry one run to its end: start steps whose inputs are there, take results, write each change under the lease.

State lives in the catalog; this object can be lost at any moment. An artifact is stored before the commit that names it.
Writes wait in `_pending` until the next step starts, so that a step costs one commit. Tests: tests/unit/pipelines/test_engine.py,
tests/chaos/test_kill.py.
"""

from __future__ import annotations

import functools
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import sqlalchemy as sa

from everloop.core.errors import EverloopError
from everloop.pipelines import artifacts, keys
from everloop.pipelines.executors.protocol import Binding, Task
from everloop.pipelines.graph import upstream_of
from everloop.pipelines.inputs import File
from everloop.pipelines.leases import LeaseLostError, guarded, this_owner
from everloop.pipelines.rules import pause_s, readiness
from everloop.pipelines.tables import pipeline_run, step_attempt, step_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from everloop.kernel.operations import Kernel
    from everloop.pipelines.codecs.protocol import Store
    from everloop.pipelines.executors.protocol import Executor, Outcome
    from everloop.pipelines.graph import Traced
    from everloop.pipelines.leases import Lease
    from everloop.pipelines.records import Argument, Artifact, CacheKey, Node, PipelineRun, StepStatus
    from everloop.tracking import ActiveRun, Tracking

# How long one wait for outcomes lasts: the pause after which a cancelled run is noticed.
_WAIT_S = 0.5


class Engine:
    """One run under one lease; used by one thread.

    Args:
        kernel: where everything is.
        tracking: closes the tracked run with the pipeline's.
        store: of artifacts.
        lease: the right to write.
        run: the run with its resolved inputs and the steps already done.
        traced: its graph and functions.
        executor: what runs the steps.
        active: the tracked run; what steps logged is written with their results.
        listener: called with (node, status, reason) at each change, for progress.
    """

    def __init__(  # noqa: PLR0913 - what one run consists of, each said by name
        self,
        kernel: Kernel,
        tracking: Tracking,
        store: Store,
        *,
        lease: Lease,
        run: PipelineRun,
        traced: Traced,
        executor: Executor,
        active: ActiveRun,
        listener: Callable[[str, StepStatus, str], None] | None = None,
    ) -> None:
        self._kernel, self._tracking, self._store = kernel, tracking, store
        self._lease, self._run, self._traced, self._executor = lease, run, traced, executor
        self._active = active
        self._listener = listener
        self._keys = keys.Keys()
        self._is_caching = keys.is_cache_on(run.options.cache)
        self._pending: list[Callable[[sa.Connection], None]] = []
        self._status: dict[str, StepStatus] = {step.node: step.status for step in run.steps}
        self._outputs: dict[str, list[Artifact]] = {
            step.node: step.outputs for step in run.steps if step.outputs
        }
        self._attempts: dict[str, int] = {step.node: step.attempts for step in run.steps}
        self._failures: dict[str, int] = {}
        self._not_before: dict[str, float] = {}
        self._key: dict[str, CacheKey] = {}
        self._errors: list[str] = []
        self._upstream = {node.name: upstream_of(node) for node in traced.graph.nodes}
        self._counts = {node.name: node.outputs for node in traced.graph.nodes}

    def drive(self) -> None:
        """Run to the end.

        Raises:
            LeaseLostError: the run was cancelled or taken over; nothing more was written.
        """
        try:
            with self._heartbeat():
                while self._advance():
                    for outcome in self._executor.wait(self._pause()):
                        self._settle(outcome)
            self._finish()
        finally:
            self._executor.close()

    def _advance(self) -> bool:
        """Start what can start; say whether anything is left to wait for."""
        for node in self._traced.graph.nodes:
            if self._executor.capacity() == 0:
                break
            if self._status[node.name] == "pending" and not self._is_resting(node):
                self._try(node)
        is_running = "running" in self._status.values()
        if is_running:
            self._flush()
        return is_running or "pending" in self._status.values()

    def _try(self, node: Node) -> None:
        match readiness([self._status[name] for name in self._upstream[node.name]]):
            case "upstream_failed":
                self._set(node.name, "upstream_failed", reason="a step it needs failed")
            case "ready":
                self._begin(node)

    def _begin(self, node: Node) -> None:
        bindings = {name: self._bind(argument) for name, argument in node.arguments.items()}
        step = self._traced.steps[node.name]
        try:
            key = self._keys.key(step, bindings)
        except EverloopError as error:
            self._set(node.name, "failed", reason=str(error))
            self._errors.append(f"{node.name}: {error}")
            return
        self._key[node.name] = key
        if node.name not in self._failures and self._take_cached(node, key):
            return
        number = self._attempts[node.name] + 1
        self._attempts[node.name] = number
        self._set(node.name, "running", key=key, attempts=number, started_at=self._kernel.clock.now())
        self._record_attempt(node.name, number)
        self._flush()
        options = step.options
        self._executor.start(
            Task(
                run=self._run.id,
                node=node.name,
                attempt=number,
                step=step.identity,
                arguments=bindings,
                outputs=node.outputs,
                timeout_s=options.timeout_s,
            )
        )

    def _take_cached(self, node: Node, key: CacheKey) -> bool:
        options = self._traced.steps[node.name].options
        if not (self._is_caching and options.cache) or node.name in self._run.options.refresh:
            return False
        now = self._kernel.clock.now()
        found = keys.look_up(self._kernel.catalog, self._kernel.objects, key, ttl_s=options.ttl_s, now=now)
        if found is None:
            return False
        self._outputs[node.name], origin = found
        self._set(
            node.name, "cached", reason=f"result of run {origin}", key=key, outputs=found[0], ended_at=now
        )
        return True

    def _settle(self, outcome: Outcome) -> None:
        """Take down how an attempt ended, and what follows from it."""
        now = self._kernel.clock.now()
        self._end_attempt(outcome)
        if outcome.status == "done":
            self._outputs[outcome.node] = outcome.outputs
            self._set(outcome.node, "done", outputs=outcome.outputs, ended_at=now)
            self._keep_result(outcome)
            return
        options = self._traced.steps[outcome.node].options
        failures = self._failures[outcome.node] = self._failures.get(outcome.node, 0) + 1
        if failures <= options.retries:
            pause = pause_s(failures, options.backoff_s)
            self._not_before[outcome.node] = time.monotonic() + pause
            self._set(
                outcome.node,
                "pending",
                reason=f"attempt {outcome.attempt} {outcome.status}; again in {pause:g} s",
            )
            return
        last_line = outcome.error.strip().rpartition("\n")[2]
        self._errors.append(f"{outcome.node}: {last_line}")
        self._set(outcome.node, "failed", reason=last_line, ended_at=now)

    def _keep_result(self, outcome: Outcome) -> None:
        key = self._key[outcome.node]
        if not self._traced.steps[outcome.node].options.cache:
            return
        run, now = self._run.id, self._kernel.clock.now()
        self._pending.append(
            lambda connection: keys.keep(
                connection, key, outcome.outputs, run=run, node=outcome.node, now=now
            )
        )

    def _finish(self) -> None:
        """Write the end of the run and of its tracked run in one transaction."""
        has_failed = any(status not in {"done", "cached"} for status in self._status.values())
        status = "failed" if has_failed else "finished"
        error = "; ".join(self._errors)
        outputs = [] if has_failed else self._results()
        change = {"status": status, "error": error, "outputs": outputs, "ended_at": self._kernel.clock.now()}
        with guarded(self._kernel.catalog, self._lease) as connection:
            self._apply(connection)
            connection.execute(pipeline_run.update().where(pipeline_run.c.id == self._run.id).values(change))
            self._tracking.finish_run(
                self._run.id, status="failed" if has_failed else "finished", error=error
            )

    def _results(self) -> list[Artifact]:
        """Return the artifacts of the pipeline's result, one for each item of a tuple."""
        result = self._traced.graph.result
        arguments = result.items if result.kind == "tuple" else [result]
        found: list[Artifact] = []
        for argument in arguments:
            binding = self._bind(argument)
            if binding.artifact is None:
                from everloop.pipelines.attempts import read_binding

                found.append(
                    artifacts.dump(read_binding(binding, self._store), self._store, where="the result")
                )
            else:
                found.append(binding.artifact)
        return found

    def _bind(self, argument: Argument) -> Binding:
        """Return an argument with its values by reference."""
        if argument.kind == "input":
            return Binding(kind="artifact", artifact=self._run.inputs[argument.name])
        if argument.kind == "step":
            outputs = self._outputs[argument.name]
            if argument.item is None and self._counts[argument.name] is not None:
                return Binding(
                    kind="tuple", items=[Binding(kind="artifact", artifact=item) for item in outputs]
                )
            return Binding(kind="artifact", artifact=outputs[argument.item or 0])
        if argument.kind in {"value", "file"}:
            value = File(argument.value) if argument.kind == "file" else argument.value
            return Binding(kind="artifact", artifact=artifacts.dump(value, self._store, where="a constant"))
        items = [self._bind(item) for item in argument.items]
        if argument.kind == "dict":
            return Binding(kind="dict", items=items, keys=argument.keys)
        return Binding(kind="list" if argument.kind == "list" else "tuple", items=items)

    # -- writes ----------------------------------------------------------------------------------------------------

    def _set(self, node: str, status: StepStatus, *, reason: str = "", **fields: object) -> None:
        """Change a step here and, with the next flush, in the catalog."""
        self._status[node] = status
        values = {"at_run": self._run.id, "at_node": node, "status": status, "reason": reason, **fields}
        self._pending.append(lambda connection: _run(connection, _change_of_step(tuple(fields)), values))
        if self._listener is not None:
            self._listener(node, status, reason)

    def _record_attempt(self, node: str, number: int) -> None:
        row = {
            "run_id": self._run.id,
            "node": node,
            "number": number,
            "status": "running",
            "worker": this_owner(),
        }
        values = {**row, "started_at": self._kernel.clock.now(), "error": "", "log": ""}
        self._pending.append(lambda connection: _run(connection, _NEW_ATTEMPT, values))

    def _end_attempt(self, outcome: Outcome) -> None:
        at = {"at_run": self._run.id, "at_node": outcome.node, "at_number": outcome.attempt}
        how = {
            "status": outcome.status,
            "error": outcome.error,
            "log": outcome.log,
            "worker": outcome.worker or this_owner(),
        }
        values = {**at, **how, "ended_at": self._kernel.clock.now()}
        self._pending.append(lambda connection: _run(connection, _END_OF_ATTEMPT, values))

    def _flush(self) -> None:
        if not self._pending:
            return
        with guarded(self._kernel.catalog, self._lease) as connection:
            self._apply(connection)

    def _apply(self, connection: sa.Connection) -> None:
        writes, self._pending = self._pending, []
        for write in writes:
            write(connection)
        self._active.flush()

    # -- time ------------------------------------------------------------------------------------------------------

    def _is_resting(self, node: Node) -> bool:
        return self._not_before.get(node.name, 0.0) > time.monotonic()

    def _pause(self) -> float:
        if "running" in self._status.values():
            return _WAIT_S
        if self._pending:
            self._flush()
        moments = [at for name, at in self._not_before.items() if self._status[name] == "pending"]
        time.sleep(max(min(moments, default=0.0) - time.monotonic(), 0.0))
        return 0.0

    @contextmanager
    def _heartbeat(self) -> Iterator[None]:
        """Renew the lease while steps run for long; it says nothing when the lease is lost, the next write does."""
        is_over = threading.Event()

        def beat() -> None:
            while not is_over.wait(self._lease.length_s / 3):
                try:
                    with guarded(self._kernel.catalog, self._lease):
                        pass
                except LeaseLostError:
                    return
                except EverloopError:
                    continue  # the database is away; the lease may outlast that

        thread = threading.Thread(target=beat, daemon=True, name="everloop-heartbeat")
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()


def _run(connection: sa.Connection, statement: sa.Executable, values: dict[str, object]) -> None:
    connection.execute(statement, values)


@functools.cache
def _change_of_step(fields: tuple[str, ...]) -> sa.Update:
    """Return the statement that sets these columns of a step; built once, because building costs more than running."""
    where = sa.and_(step_run.c.run_id == sa.bindparam("at_run"), step_run.c.node == sa.bindparam("at_node"))
    return (
        step_run.update()
        .where(where)
        .values({name: sa.bindparam(name) for name in ("status", "reason", *fields)})
    )


_NEW_ATTEMPT = step_attempt.insert()
_END_OF_ATTEMPT = (
    step_attempt.update()
    .where(
        step_attempt.c.run_id == sa.bindparam("at_run"),
        step_attempt.c.node == sa.bindparam("at_node"),
        step_attempt.c.number == sa.bindparam("at_number"),
    )
    .values({name: sa.bindparam(name) for name in ("status", "error", "log", "worker", "ended_at")})
)
