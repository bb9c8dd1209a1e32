"""The verbs of pipelines and their runs; those of schedules are in scheduling.py.

Tests: tests/unit/pipelines/test_service.py, tests/chaos.
"""

from __future__ import annotations

import builtins
import time
from typing import TYPE_CHECKING, Any

import msgspec

from everloop.core.digests import Digest, parse_digest
from everloop.core.errors import EverloopError, NotFoundError
from everloop.core.ids import new_id
from everloop.kernel.operations import operation
from everloop.pipelines import artifacts, backfills, bundles, leases, queries, rules
from everloop.pipelines.approvals import Approvals
from everloop.pipelines.backfilling import Backfills
from everloop.pipelines.execution import Execution, end_tracked
from everloop.pipelines.executors.protocol import check_executor
from everloop.pipelines.graph import Traced, downstream_of, trace
from everloop.pipelines.inputs import InvalidPipelineInputError, check_plain
from everloop.pipelines.logs import Logs
from everloop.pipelines.records import (
    ENDED,
    Attempt,
    Explanation,
    Graph,
    PipelineRun,
    PipelineVersion,
    Pool,
    RunOptions,
    StepRun,
)
from everloop.pipelines.resolution import resolve
from everloop.pipelines.scheduling import Schedules
from everloop.pipelines.store import open_store
from everloop.pipelines.tables import pipeline as pipelines_table
from everloop.pipelines.tables import pipeline_run
from everloop.pipelines.triggering import Triggers
from everloop.tracking.capture import capture

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from everloop.kernel.operations import Kernel
    from everloop.pipelines.debugging import Call
    from everloop.pipelines.records import StepStatus
    from everloop.pipelines.resolution import TableReader
    from everloop.pipelines.steps import AnyPipeline
    from everloop.tracking import Tracking

_POLL_S = 0.2


class PipelineRunNotFoundError(NotFoundError):
    """No pipeline run has this id."""

    code = "pipelines.run-not-found"


class RunFailedError(EverloopError):
    """A run has no result, because it did not finish."""

    code = "pipelines.run-failed"


class Pipelines(Schedules, Triggers, Backfills, Approvals, Logs):
    """Pipelines, their runs, schedules and triggers."""

    stage = "pipelines"

    def __init__(self, kernel: Kernel, *, data: TableReader, tracking: Tracking) -> None:
        super().__init__(kernel)
        self.data = data
        self.tracking = tracking
        self._store = open_store(kernel)
        self._execution = Execution(kernel, reader=data, tracking=tracking, store=self._store)

    # -- the client's half -----------------------------------------------------------------------------------------

    def run(
        self,
        pipeline: AnyPipeline | str,
        inputs: Mapping[str, object] | None = None,
        *,
        executor: str = "",
        workers: int = 0,
        cache: bool | None = None,
        refresh: tuple[str, ...] = (),
        listener: Callable[[str, StepStatus, str], None] | None = None,
    ) -> PipelineRun:
        """Run a pipeline here and now; return the run as it ended.

        A failed step does not raise: the record says so, and `result` raises with the reason. Connected to a server, the
        run is submitted to it and waited for.

        Args:
            pipeline: a decorated function, or the name of a registered pipeline.
            inputs: by parameter name: plain values, `"flights@v3"` for a `Table`, a path for a `File`, frames and arrays.
            executor: `inline`, `process` or `ray`; by default what the settings say.
            workers: steps at a time; by default what the settings say: one process, or as many as a Ray cluster takes.
            cache: take results of earlier runs; by default yes, but not under pytest.
            refresh: nodes to compute again.
            listener: called with (node, status, reason) at every change.

        Raises:
            InvalidPipelineInputError, TraceError, UnknownExecutorError: nothing was started.
        """
        if executor:
            check_executor(executor)
        options = RunOptions(executor=executor, cache=cache, refresh=tuple(refresh), workers=workers)
        if self.kernel.is_remote:
            return self._run_remote(pipeline, inputs or {}, options)
        if isinstance(pipeline, str):
            version = self.get_pipeline(pipeline)
            with self._execution.code(version.bundle) as loaded:
                return self._run_here(loaded, inputs or {}, options, listener, bundle=version.bundle)
        return self._run_here(pipeline, inputs or {}, options, listener)

    def _run_here(
        self,
        pipeline: AnyPipeline,
        inputs: Mapping[str, object],
        options: RunOptions,
        listener: Callable[[str, StepStatus, str], None] | None,
        *,
        bundle: Digest | None = None,
    ) -> PipelineRun:
        traced = trace(pipeline)
        _check_refresh(traced, options)
        code, note = (bundle, "") if bundle else self._pin(pipeline, traced)
        resolved = resolve(pipeline, inputs, reader=self.data, store=self._store)
        run_id, now = new_id(), self.kernel.clock.now()
        origin, captured = bundles.origin_of(pipeline), capture(self.kernel.objects)
        with self.kernel.catalog.transaction() as connection:
            queries.insert_run(
                connection,
                run_id=run_id,
                name=pipeline.name,
                now=now,
                options=options,
                requested=dict(resolved.params),
                bundle=code,
                entry=pipeline.identity,
                origin=origin,
            )
            change = {"inputs": resolved.artifacts, "note": note}
            connection.execute(pipeline_run.update().where(pipeline_run.c.id == run_id).values(change))
            lease = leases.claim(self.kernel.catalog, run_id, owner=leases.this_owner(), now=now)
            self.tracking.create_run(
                id=run_id,
                experiment=pipeline.name,
                name=pipeline.name,
                params=resolved.params,
                tags={"pipeline": pipeline.name},
                inputs=resolved.datasets,
                capture=captured,
            )
        self._execution.execute(lease, pipeline, traced, listener)
        return self.get(run_id)

    def _run_remote(
        self, pipeline: AnyPipeline | str, inputs: Mapping[str, object], options: RunOptions
    ) -> PipelineRun:
        return self._wait(self.submit(pipeline, inputs, options=options))

    def _wait(self, run: PipelineRun) -> PipelineRun:
        while run.status not in ENDED and run.status != "waiting":
            time.sleep(_POLL_S)
            run = self.get(run.id)
        return run

    def submit(
        self,
        pipeline: AnyPipeline | str,
        inputs: Mapping[str, object] | None = None,
        *,
        options: RunOptions | None = None,
    ) -> PipelineRun:
        """Queue a run for any worker; a decorated function is registered first.

        Args:
            pipeline: a decorated function, or the name of a registered pipeline.
            inputs: plain values and references as in `run`; they are resolved when the run starts.
            options: how it is executed.

        Raises:
            InvalidPipelineInputError: an input is no plain value, so that it cannot wait in a queue.
        """
        check_plain(inputs or {})
        name = pipeline if isinstance(pipeline, str) else self.register(pipeline).name
        return self.create_run(name, inputs=dict(inputs or {}), options=options or RunOptions())

    def register(self, pipeline: AnyPipeline) -> PipelineVersion:
        """Store a pipeline's code and graph under its name, so that schedulers and workers can run it.

        Raises:
            NotImportableError: it or one of its steps is defined inside a function.
        """
        traced = trace(pipeline)
        bundle = bundles.build(pipeline, traced.steps.values())
        digest = self.kernel.objects.put(bundle.content())
        return self.create_pipeline(
            pipeline.name, bundle=digest, entry=bundle.entry, origin=bundle.origin, graph=traced.graph
        )

    def resume(
        self, run_id: str, *, listener: Callable[[str, StepStatus, str], None] | None = None
    ) -> PipelineRun:
        """Go on with a run at its unfinished steps, with the code it was started with.

        Connected to a server, the run is queued there again and waited for.

        Args:
            run_id: a run that failed, was cancelled, or whose process is gone.
            listener: called with (node, status, reason) at every change.

        Raises:
            RunIsTakenError: another live process works on it.
            NotImportableError: its code was never stored, because it cannot be imported.
        """
        run = self.get(run_id)
        if run.status == "finished":
            return run
        if run.bundle is None:
            raise bundles.NotImportableError(
                f"run {run_id} cannot be resumed: its pipeline {run.entry} cannot be imported by another process. Run it again.",
                subject=f"run:{run_id}",
            )
        if self.kernel.is_remote:
            return self._wait(self.requeue(run_id))
        lease = leases.claim(
            self.kernel.catalog,
            run_id,
            owner=leases.this_owner(),
            also=("failed", "cancelled", "waiting"),
            now=self.kernel.clock.now(),
        )
        self._say_pinned(lease, run)
        self._execution.execute_bundle(lease, run.bundle, listener)
        return self.get(run_id)

    def rerun(
        self,
        run_id: str,
        *,
        inputs: Mapping[str, object] | None = None,
        from_step: str = "",
        listener: Callable[[str, StepStatus, str], None] | None = None,
    ) -> PipelineRun:
        """Run again what a run ran: the same code, other inputs where given, as a new run that takes what is unchanged from the cache.

        Args:
            run_id: the run to repeat, however it ended.
            inputs: by parameter name, in place of those it had.
            from_step: compute this step and all that come after it although the cache holds them.
            listener: called with (node, status, reason) at every change.

        Raises:
            NotImportableError: its code was never stored.
            InvalidPipelineInputError: there is no such input or step.
        """
        run = self.get(run_id)
        if run.bundle is None:
            raise bundles.NotImportableError(
                f"run {run_id} cannot be repeated: its pipeline {run.entry} cannot be imported by another process. Run it again.",
                subject=f"run:{run_id}",
            )
        given = {name: artifacts.load(item, self._store) for name, item in run.inputs.items()}
        with self._execution.code(run.bundle) as pipeline:
            refresh = downstream_of(trace(pipeline).graph, from_step) if from_step else ()
            options = msgspec.structs.replace(run.options, refresh=refresh)
            return self._run_here(pipeline, {**given, **(inputs or {})}, options, listener, bundle=run.bundle)

    def result(self, run: PipelineRun | str) -> Any:  # noqa: ANN401 - what the user's pipeline returned
        """Return what a finished pipeline returned; a tuple when it returned several values.

        Raises:
            RunFailedError: it did not finish.
        """
        found = self.get(run) if isinstance(run, str) else run
        if found.status != "finished":
            raise RunFailedError(
                f"run {found.id} of {found.pipeline} is {found.status}: {found.error}. `everloop resume {found.id}` goes on"
                " with it.",
                subject=f"run:{found.id}",
            )
        values = [artifacts.load(item, self._store) for item in found.outputs]
        return values[0] if len(values) == 1 else tuple(values)

    def output(self, run: PipelineRun | str, node: str) -> Any:  # noqa: ANN401 - what the user's step returned
        """Return what a step of a run returned."""
        found = self.get(run) if isinstance(run, str) else run
        step = next((item for item in found.steps if item.node == node), None)
        if step is None or not step.outputs:
            raise RunFailedError(f"step {node} of run {found.id} has no result.", subject=f"run:{found.id}")
        values = [artifacts.load(item, self._store) for item in step.outputs]
        return values[0] if len(values) == 1 else tuple(values)

    def reopened(self, run_id: str, node: str) -> AbstractContextManager[Call]:
        """Give a step's function and arguments as they were in a run, for the length of a block; see `debugging`.

        Raises:
            NoSuchStepError, NotStartedError, NotImportableError: as named.
        """
        from everloop.pipelines.debugging import reopened

        return reopened(self._execution, self.get(run_id), node, self._store)

    def work(self, *, once: bool = False, lease_s: float = leases.LEASE_S) -> int:
        """Claim and execute queued runs, and runs whose process went away.

        Args:
            once: at most one run; else until none is left.
            lease_s: length of the lease.

        Returns:
            How many runs were executed.
        """
        self.expire_approvals()
        count = 0
        while True:
            backfills.advance(self.kernel, self.kernel.clock.now())
            lease = leases.claim_next(
                self.kernel.catalog, owner=leases.this_owner(), length_s=lease_s, now=self.kernel.clock.now()
            )
            if lease is None:
                return count
            bundle = self.get(lease.run).bundle
            if bundle is not None:
                self._execution.execute_bundle(lease, bundle)
            count += 1
            if once:
                backfills.advance(self.kernel, self.kernel.clock.now())
                return count

    def _pin(self, pipeline: AnyPipeline, traced: Traced) -> tuple[Digest | None, str]:
        """Store the code of a run; a pipeline that cannot be imported runs without."""
        try:
            bundle = bundles.build(pipeline, traced.steps.values())
        except bundles.NotImportableError as error:
            return None, f"cannot be resumed: {error}"
        return self.kernel.objects.put(bundle.content(), durable=False), ""

    def _say_pinned(self, lease: leases.Lease, run: PipelineRun) -> None:
        if run.bundle is None or not run.origin:
            return
        changed = bundles.changed_files(bundles.read(self.kernel.objects, run.bundle), run.origin)
        if not changed:
            return
        note = f"resumed with the code the run was started with ({run.bundle[:11]}); edited since: {', '.join(changed)}"
        with leases.guarded(self.kernel.catalog, lease) as connection:
            connection.execute(pipeline_run.update().where(pipeline_run.c.id == run.id).values(note=note))

    # -- operations ------------------------------------------------------------------------------------------------

    @operation(
        "PUT /pipelines/{name}", needs="pipeline.write", emits="pipeline.registered", cli="pipeline register"
    )
    def create_pipeline(
        self, name: str, *, bundle: str, entry: str, graph: Graph, origin: str = ""
    ) -> PipelineVersion:
        """Keep a pipeline's code bundle, entry and graph under its name; runs that exist keep their own code."""
        code = parse_digest(bundle)
        values = {"bundle": code, "entry": entry, "origin": origin, "graph": graph}
        now = self.kernel.clock.now()
        with self.kernel.catalog.transaction() as connection:
            known = queries.read_pipeline(connection, name)
            if known is not None and (known[0].bundle, known[0].entry) == (bundle, entry):
                self.unchanged()
                return known[0]
            statement = queries.upsert(connection, pipelines_table).values(
                name=name, updated_at=now, **values
            )
            change = {**values, "updated_at": now}
            connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=change))
            self.emit(connection, subject=f"pipeline:{name}", payload={"bundle": bundle, "entry": entry})
        return PipelineVersion(name=name, bundle=code, entry=entry, graph=graph, updated_at=now)

    @operation("GET /pipelines/{name}", needs="pipeline.read", cli="pipeline show")
    def get_pipeline(self, name: str) -> PipelineVersion:
        """Return a registered pipeline."""
        with self.kernel.catalog.read() as connection:
            return queries.require_pipeline(connection, name)[0]

    @operation("GET /pipelines", needs="pipeline.read", cli="pipeline ls")
    def list(self, *, limit: int = 100, after: str = "") -> builtins.list[PipelineVersion]:
        """Return registered pipelines by name, after the name `after`."""
        with self.kernel.catalog.read() as connection:
            return queries.list_pipelines(connection, limit=limit, after=after)

    @operation(
        "POST /pipelines/{name}/runs",
        needs="pipeline.run",
        emits="pipeline.run_queued",
        cli="pipeline submit",
    )
    def create_run(
        self, name: str, *, inputs: dict[str, Any] | None = None, options: RunOptions | None = None
    ) -> PipelineRun:
        """Queue a run of a registered pipeline with its present code."""
        run_id, now = new_id(), self.kernel.clock.now()
        with self.kernel.catalog.transaction() as connection:
            version, origin = queries.require_pipeline(connection, name)
            unknown = sorted(set(inputs or {}) - set(version.graph.inputs))
            if unknown:
                raise InvalidPipelineInputError(
                    f"the pipeline {name} has no input {', '.join(unknown)}. Its inputs are:"
                    f" {', '.join(version.graph.inputs)}.",
                    subject=f"pipeline:{name}",
                )
            queries.insert_run(
                connection,
                run_id=run_id,
                name=name,
                now=now,
                options=options or RunOptions(),
                requested=inputs or {},
                bundle=version.bundle,
                entry=version.entry,
                origin=origin,
            )
            self.emit(
                connection, subject=f"run:{run_id}", payload={"pipeline": name, "bundle": version.bundle}
            )
        return self.get(run_id)

    @operation("GET /pipeline-runs/{run}", needs="pipeline.read", cli="pipeline run")
    def get(self, run: str) -> PipelineRun:
        """Return a run with its steps."""
        with self.kernel.catalog.read() as connection:
            found = queries.read_run(connection, run)
        if found is None:
            raise PipelineRunNotFoundError(
                f"there is no pipeline run {run}. `everloop pipeline runs` lists them.", subject=f"run:{run}"
            )
        return found

    @operation("GET /pipeline-runs", needs="pipeline.read", cli="pipeline runs")
    def runs(
        self, *, pipeline: str = "", status: str = "", limit: int = 100, after: str = ""
    ) -> builtins.list[PipelineRun]:
        """Return runs without their steps, newest first, after the id `after`."""
        with self.kernel.catalog.read() as connection:
            return queries.list_runs(connection, name=pipeline, status=status, limit=limit, after=after)

    @operation("GET /pipeline-runs/{run}/steps", needs="pipeline.read", cli="pipeline steps")
    def steps(self, run: str) -> builtins.list[StepRun]:
        """Return the steps of a run in their order."""
        return self.get(run).steps

    @operation("GET /pipeline-runs/{run}/attempts", needs="pipeline.read", cli="pipeline logs")
    def attempts(self, run: str, *, node: str = "") -> builtins.list[Attempt]:
        """Return the attempts of a run, or of one step, with traceback and log lines."""
        with self.kernel.catalog.read() as connection:
            return queries.read_attempts(connection, run, node)

    @operation(
        "POST /pipeline-runs/{run}/cancel",
        needs="pipeline.run",
        emits="pipeline.run_cancelled",
        cli="pipeline cancel",
    )
    def cancel(self, run: str) -> PipelineRun:
        """Stop a run; the engine that works on it can write nothing more. `resume` goes on with it."""
        with self.kernel.catalog.transaction() as connection:
            before = self.get(run)
            if before.status in ENDED:
                self.unchanged()
                return before
            values = {"status": "cancelled", "ended_at": self.kernel.clock.now(), "error": "cancelled"}
            connection.execute(pipeline_run.update().where(pipeline_run.c.id == run).values(values))
            self.emit(connection, subject=f"run:{run}", payload={"pipeline": before.pipeline})
            end_tracked(self.tracking, connection, run, "killed", "cancelled")
        return self.get(run)

    @operation(
        "PUT /pipeline-pools/{name}", needs="pipeline.write", emits="pipeline.pool_set", cli="pipeline pool"
    )
    def set_pool(self, name: str, *, slots: int) -> Pool:
        """Let so many runs of a pool be executed at a time by workers; runs name their pool in their options.

        A run that a person executes here and now does not wait for a slot.
        """
        if slots < 1:
            raise InvalidPipelineInputError(
                f"a pool of {slots} slots runs nothing. Give at least 1.", subject=f"pool:{name}"
            )
        with self.kernel.catalog.transaction() as connection:
            queries.set_pool(connection, name, slots)
            self.emit(connection, subject=f"pool:{name}", payload={"slots": slots})
        return Pool(name=name, slots=slots)

    @operation(
        "POST /pipeline-runs/{run}/requeue",
        needs="pipeline.run",
        emits="pipeline.run_queued",
        cli=None,
        cli_reason="`everloop resume` asks for it when it is connected to a server",
    )
    def requeue(self, run: str) -> PipelineRun:
        """Queue a failed or cancelled run again; the worker that takes it goes on at its unfinished steps."""
        with self.kernel.catalog.transaction() as connection:
            before = self.get(run)
            if before.status not in {"failed", "cancelled"}:
                self.unchanged()
                return before
            connection.execute(
                pipeline_run.update().where(pipeline_run.c.id == run).values(status="queued", ended_at=None)
            )
            self.emit(
                connection, subject=f"run:{run}", payload={"pipeline": before.pipeline, "was": before.status}
            )
        return self.get(run)

    @operation("GET /pipeline-runs/{run}/explanation", needs="pipeline.read", cli="pipeline explain")
    def explain(self, run: str) -> builtins.list[Explanation]:
        """Return for each step which parts of its cache key differ from the nearest earlier run."""
        found = self.get(run)
        with self.kernel.catalog.read() as connection:
            return [
                rules.explain(step, queries.nearest_key(connection, step, found.pipeline))
                for step in found.steps
            ]


def _check_refresh(traced: Traced, options: RunOptions) -> None:
    names = {node.name for node in traced.graph.nodes}
    unknown = sorted(set(options.refresh) - names)
    if unknown:
        raise InvalidPipelineInputError(
            f"the pipeline {traced.graph.name} has no step {', '.join(unknown)}. Its steps are: {', '.join(sorted(names))}."
        )
