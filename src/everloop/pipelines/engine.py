"""Carry one run to its end: start steps whose inputs are there, take results, write each change under the lease.

State lives in the catalog; this object can be lost at any moment. An artifact is stored before the commit that names it.
Writes wait in `_pending` until the next step starts, so that a step costs one commit. Tests: tests/unit/pipelines/test_engine.py,
tests/chaos/test_kill.py.
"""

from __future__ import annotations

import functools
import heapq
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa

from everloop.core.errors import EverloopError, InvalidInputError
from everloop.pipelines import approvals, keys, queries
from everloop.pipelines.attempts import read_binding
from everloop.pipelines.binding import Binder
from everloop.pipelines.executors.protocol import Task
from everloop.pipelines.graph import text_of
from everloop.pipelines.leases import LeaseLostError, guarded, require_held, this_owner
from everloop.pipelines.plan import HAS_RESULT, Plan
from everloop.pipelines.rules import pause_s
from everloop.pipelines.spools import remove, spool_folder
from everloop.pipelines.tables import pipeline_run, step_attempt, step_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from everloop.kernel.operations import Kernel
    from everloop.pipelines.codecs.protocol import Store
    from everloop.pipelines.executors.protocol import Binding, Executor, Outcome
    from everloop.pipelines.graph import Traced
    from everloop.pipelines.leases import Lease
    from everloop.pipelines.records import (
        Artifact,
        CacheKey,
        Node,
        PipelineRun,
        StepApproval,
        StepStatus,
    )
    from everloop.pipelines.steps import AnyStep
    from everloop.tracking import ActiveRun, Tracking

# How long one wait for outcomes lasts: the pause after which a cancelled run is noticed.
_WAIT_S = 0.5
_FAILED = ("failed", "upstream_failed", "cancelled")
# Of the items of a map so many errors are told with the run; all are with their attempts.
_MOST_ERRORS = 20


class ConditionError(InvalidInputError):
    """What a branch decides by is no bool."""

    code = "pipelines.condition"


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
        self._known: dict[str, StepStatus] = {step.node: step.status for step in run.steps}
        self._plan = Plan(traced.graph.nodes, self._known)
        self._outputs: dict[str, list[Artifact]] = {
            step.node: step.outputs for step in run.steps if step.outputs
        }
        self._attempts: dict[str, int] = {step.node: step.attempts for step in run.steps}
        self._failures: dict[str, int] = {}
        self._resting: list[tuple[float, str]] = []
        self._key: dict[str, CacheKey] = {}
        self._errors: list[str] = []
        self._running: set[str] = set()
        self._waiting: set[str] = set()
        # Logs on the disk of attempts that ended: those that wait to be written with their attempts, and those that were.
        self._logs: list[Path] = []
        self._written_logs: list[Path] = []
        # Arguments of the items of maps, by the name of the item.
        self._given: dict[str, dict[str, Binding]] = {}
        self._binder = Binder(self._plan, run.inputs, self._outputs, store)
        self._plan.restore_items(run.steps)

    def drive(self) -> None:
        """Run to the end, or until only people can bring it further.

        Raises:
            LeaseLostError: the run was cancelled or taken over; nothing more was written.
        """
        try:
            with self._heartbeat():
                while not self._plan.is_over:
                    self._advance()
                    if self._running:
                        self._flush()
                        for outcome in self._executor.wait(self._wait_s()):
                            self._settle(outcome)
                    elif self._resting:
                        self._flush()
                        time.sleep(max(self._resting[0][0] - time.monotonic(), 0.0))
                    elif self._waiting and not self._plan.has_ready and self._suspend():
                        return
            self._finish()
        finally:
            self._executor.close()
            remove(self._written_logs)

    def _advance(self) -> None:
        """Start what can start."""
        while self._resting and self._resting[0][0] <= time.monotonic():
            self._plan.offer(heapq.heappop(self._resting)[1])
        while self._executor.capacity() > 0 and (found := self._plan.next()) is not None:
            node, move = found
            if move == "fail":
                self._end(node.name, "upstream_failed", reason="a step it needs failed")
            elif move == "skip":
                self._end(node.name, "skipped", reason="what it takes was skipped")
            else:
                self._try(node)

    def _try(self, node: Node) -> None:
        try:
            if node.condition is not None and not self._is_wanted(node):
                self._end(
                    node.name, "skipped", reason=f"{text_of(node.condition)} is {not node.wanted}".lower()
                )
            elif node.kind == "approval":
                self._ask(node)
            elif node.kind == "map":
                self._expand(node)
            else:
                self._begin(node)
        except EverloopError as error:
            if isinstance(error, LeaseLostError):
                raise
            self._errors.append(f"{node.name}: {error}")
            self._end(node.name, "failed", reason=str(error))

    def _begin(self, node: Node) -> None:
        bindings = self._given.get(node.name) or self._binder.arguments(node)
        step = self._step(node)
        key = self._keys.key(step, bindings, outputs=node.outputs)
        self._key[node.name] = key
        if node.name not in self._failures and self._take_cached(node, key):
            return
        number = self._attempts.get(node.name, 0) + 1
        self._attempts[node.name] = number
        self._set(node.name, "running", key=key, attempts=number, started_at=self._kernel.clock.now())
        self._record_attempt(node.name, number)
        self._flush()
        self._running.add(node.name)
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
                cpus=options.cpus,
                memory_bytes=options.memory_bytes,
                gpus=options.gpus,
                env=options.env,
            )
        )

    def _step(self, node: Node) -> AnyStep:
        step: AnyStep = self._traced.steps[self._plan.parent.get(node.name, node.name)]
        return step

    def _is_wanted(self, node: Node) -> bool:
        if node.condition is None:
            return True
        value = read_binding(self._binder.bind(node.condition), self._store)
        if not isinstance(value, bool):
            raise ConditionError(
                f"{node.name} runs when {text_of(node.condition)} is true, but that is a {type(value).__name__}. Return a bool.",
                subject=f"run:{self._run.id}",
            )
        return value is node.wanted

    # -- maps ------------------------------------------------------------------------------------------------------

    def _expand(self, node: Node) -> None:
        """Make a node of each item of the lists that a map goes over."""
        made = []
        for number, given in enumerate(self._binder.items(node)):
            item = msgspec.structs.replace(node, name=f"{node.name}[{number}]", kind="step", condition=None)
            self._given[item.name] = given
            made.append(item)
        fresh = self._plan.expand(node.name, made, self._known)
        names = [item.name for item in made]
        self._set(node.name, "running", started_at=self._kernel.clock.now(), reason=f"{len(names):,} items")
        self._pending.append(
            lambda connection: queries.insert_items(
                connection, self._run.id, self._run.pipeline, node.name, names
            )
        )
        if not fresh:
            self._close_map(node.name)

    def _close_map(self, name: str) -> None:
        """End a map whose items have all ended."""
        states = [self._plan.status[item] for item in self._plan.items[name]]
        failed = sum(state not in HAS_RESULT for state in states)
        if failed:
            self._errors.append(f"{name}: {failed:,} of {len(states):,} items failed")
            self._end(name, "failed", reason=f"{failed:,} of {len(states):,} items failed")
            return
        is_cached = bool(states) and all(state == "cached" for state in states)
        self._end(name, "cached" if is_cached else "done", reason=f"{len(states):,} items")

    # -- people ----------------------------------------------------------------------------------------------------

    def _ask(self, node: Node) -> None:
        """Ask a person, unless that was done; take the answer if there is one."""
        if node.approval is None:
            raise AssertionError("an approval has its question")
        with self._writing() as connection:
            answer = approvals.ask(connection, self._kernel, self._run, node.name, node.approval)
        if answer is None:
            self._waiting.add(node.name)
            self._set(node.name, "waiting", reason=f"asks {node.approval.role}: {node.approval.message}")
        else:
            self._take_answer(node.name, answer)

    def _take_answer(self, name: str, answer: StepApproval) -> None:
        self._waiting.discard(name)
        reason = approvals.say(answer)
        if answer.decision != "approved":
            self._errors.append(f"{name}: {reason}")
        self._end(name, "done" if answer.decision == "approved" else "failed", reason=reason)

    def _suspend(self) -> bool:
        """Leave the run to people; False when an answer came meanwhile, which was taken."""
        with self._writing() as connection:
            answers = approvals.answers(connection, self._run.id, self._waiting)
            if not answers:
                change = {"status": "waiting", "owner": "", "lease_until": None}
                connection.execute(
                    pipeline_run.update().where(pipeline_run.c.id == self._run.id).values(change)
                )
        for answer in answers:
            self._take_answer(answer.node, answer)
        return not answers

    def _take_cached(self, node: Node, key: CacheKey) -> bool:
        options = self._step(node).options
        if not (self._is_caching and options.cache) or self._is_refreshed(node.name):
            return False
        now = self._kernel.clock.now()
        found = keys.look_up(self._kernel.catalog, self._kernel.objects, key, ttl_s=options.ttl_s, now=now)
        if found is None:
            return False
        self._outputs[node.name], origin = found
        self._end(node.name, "cached", reason=f"result of run {origin}", key=key, outputs=found[0])
        return True

    def _is_refreshed(self, name: str) -> bool:
        refresh = self._run.options.refresh
        return name in refresh or self._plan.parent.get(name) in refresh

    def _settle(self, outcome: Outcome) -> None:
        """Take down how an attempt ended, and what follows from it."""
        self._end_attempt(outcome)
        self._running.discard(outcome.node)
        if outcome.status == "done":
            self._outputs[outcome.node] = outcome.outputs
            self._end(outcome.node, "done", outputs=outcome.outputs)
            self._keep_result(outcome)
            return
        options = self._step(self._plan.nodes[outcome.node]).options
        failures = self._failures[outcome.node] = self._failures.get(outcome.node, 0) + 1
        if failures <= options.retries:
            pause = pause_s(failures, options.backoff_s)
            self._set(
                outcome.node,
                "pending",
                reason=f"attempt {outcome.attempt} {outcome.status}; again in {pause:g} s",
            )
            heapq.heappush(self._resting, (time.monotonic() + pause, outcome.node))
            return
        last_line = outcome.error.strip().rpartition("\n")[2]
        if outcome.node not in self._plan.parent or len(self._errors) < _MOST_ERRORS:
            self._errors.append(f"{outcome.node}: {last_line}")
        self._end(outcome.node, "failed", reason=last_line)

    def _keep_result(self, outcome: Outcome) -> None:
        key = self._key[outcome.node]
        if not self._step(self._plan.nodes[outcome.node]).options.cache:
            return
        run, now = self._run.id, self._kernel.clock.now()
        self._pending.append(
            lambda connection: keys.keep(
                connection, key, outcome.outputs, run=run, node=outcome.node, now=now
            )
        )

    def _finish(self) -> None:
        """Write the end of the run and of its tracked run in one transaction."""
        has_failed = any(status in _FAILED for status in self._plan.status.values())
        status = "failed" if has_failed else "finished"
        error = "; ".join(self._errors)
        outputs = [] if has_failed else self._binder.result(self._traced.graph.result)
        change = {"status": status, "error": error, "outputs": outputs, "ended_at": self._kernel.clock.now()}
        with self._writing() as connection:
            connection.execute(pipeline_run.update().where(pipeline_run.c.id == self._run.id).values(change))
            self._tracking.finish_run(
                self._run.id, status="failed" if has_failed else "finished", error=error
            )

    # -- writes ----------------------------------------------------------------------------------------------------

    def _set(self, node: str, status: StepStatus, *, reason: str = "", **fields: object) -> None:
        """Change a step here and, with the next flush, in the catalog."""
        self._plan.mark(node, status)
        values = {"at_run": self._run.id, "at_node": node, "status": status, "reason": reason, **fields}
        self._pending.append(lambda connection: _run(connection, _change_of_step(tuple(fields)), values))
        if self._listener is not None:
            self._listener(node, status, reason)

    def _end(self, node: str, status: StepStatus, *, reason: str = "", **fields: object) -> None:
        """Let a node end; the last item of a map ends the map."""
        self._set(node, status, reason=reason, ended_at=self._kernel.clock.now(), **fields)
        parent = self._plan.parent.get(node)
        if (
            parent is not None
            and self._plan.status[parent] == "running"
            and not self._plan.has_open_items(parent)
        ):
            self._close_map(parent)

    def _record_attempt(self, node: str, number: int) -> None:
        row = {
            "run_id": self._run.id,
            "node": node,
            "number": number,
            "status": "running",
            "worker": this_owner(),
        }
        values = {**row, "started_at": self._kernel.clock.now(), "error": "", "log": "", **_NO_LOG}
        self._pending.append(lambda connection: _run(connection, _NEW_ATTEMPT, values))

    def _end_attempt(self, outcome: Outcome) -> None:
        at = {"at_run": self._run.id, "at_node": outcome.node, "at_number": outcome.attempt}
        how = {
            "status": outcome.status,
            "error": outcome.error,
            "log": outcome.log,
            "log_object": outcome.log_object,
            "log_bytes": outcome.log_bytes,
            "peak_bytes": outcome.peak_bytes,
            "worker": outcome.worker or this_owner(),
        }
        values = {**at, **how, "ended_at": self._kernel.clock.now()}
        if outcome.log_bytes:
            self._logs.append(spool_folder(self._kernel.home, self._run.id, outcome.node, outcome.attempt))
        self._pending.append(lambda connection: _run(connection, _END_OF_ATTEMPT, values))

    def _flush(self) -> None:
        if not self._pending:
            require_held(self._kernel.catalog, self._lease)
            return
        with self._writing():
            pass

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        """Write what waits, and what the block adds, in one transaction under the lease."""
        with guarded(self._kernel.catalog, self._lease) as connection:
            writes, self._pending = self._pending, []
            for write in writes:
                write(connection)
            self._active.flush()
            yield connection
        self._written_logs += self._logs
        self._logs = []

    # -- time ------------------------------------------------------------------------------------------------------

    def _wait_s(self) -> float:
        if not self._resting:
            return _WAIT_S
        return min(max(self._resting[0][0] - time.monotonic(), 0.001), _WAIT_S)

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


_NO_LOG: dict[str, object] = {"log_object": None, "log_bytes": 0, "peak_bytes": 0}
_NEW_ATTEMPT = step_attempt.insert()
_END_OF_ATTEMPT = (
    step_attempt.update()
    .where(
        step_attempt.c.run_id == sa.bindparam("at_run"),
        step_attempt.c.node == sa.bindparam("at_node"),
        step_attempt.c.number == sa.bindparam("at_number"),
    )
    .values({name: sa.bindparam(name) for name in ("status", "error", "log", "worker", "ended_at", *_NO_LOG)})
)
