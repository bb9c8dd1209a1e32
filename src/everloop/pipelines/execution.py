"""Execute a claimed run in this process: load its code, resolve its inputs once, drive the engine, close it whatever happens.

Tests: tests/unit/pipelines/test_service.py, tests/chaos.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

import sqlalchemy as sa

from everloop.core.errors import EverloopError
from everloop.pipelines import bundles, queries
from everloop.pipelines.engine import Engine
from everloop.pipelines.executors.protocol import ExecutorContext, open_executor
from everloop.pipelines.graph import trace
from everloop.pipelines.leases import LeaseLostError, guarded
from everloop.pipelines.resolution import Resolved, resolve
from everloop.pipelines.tables import pipeline_run
from everloop.tracking.capture import capture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from everloop.core.digests import Digest
    from everloop.kernel.operations import Kernel
    from everloop.pipelines.codecs.protocol import Store
    from everloop.pipelines.graph import Traced
    from everloop.pipelines.leases import Lease
    from everloop.pipelines.records import PipelineRun, StepStatus
    from everloop.pipelines.resolution import TableReader
    from everloop.pipelines.steps import AnyPipeline
    from everloop.tracking import Tracking

    Listener = Callable[[str, StepStatus, str], None]


_log = logging.getLogger(__name__)


class Execution:
    """What executing runs needs; one for each process."""

    def __init__(self, kernel: Kernel, *, reader: TableReader, tracking: Tracking, store: Store) -> None:
        self.kernel = kernel
        self.reader = reader
        self.tracking = tracking
        self.store = store

    @contextmanager
    def code(self, digest: Digest) -> Iterator[AnyPipeline]:
        """Load the pipeline of a bundle for the length of the block."""
        bundle = bundles.read(self.kernel.objects, digest)
        with bundles.loaded(bundle, self.extracted(bundle, digest)) as pipeline:
            yield pipeline

    def extracted(self, bundle: bundles.Bundle, digest: Digest) -> Path:
        """Return the folder with a bundle's files."""
        return bundles.extract(bundle, digest, self.kernel.home / "bundles")

    def execute_bundle(self, lease: Lease, digest: Digest, listener: Listener | None = None) -> None:
        """Execute a claimed run with its pinned code; an error of loading it ends the run as failed."""
        with self._closing(lease), self.code(digest) as pipeline:
            self._execute(lease, pipeline, trace(pipeline), listener)

    def execute(
        self, lease: Lease, pipeline: AnyPipeline, traced: Traced, listener: Listener | None = None
    ) -> None:
        """Execute a claimed run with a pipeline of this process."""
        with self._closing(lease):
            self._execute(lease, pipeline, traced, listener)

    def _execute(
        self, lease: Lease, pipeline: AnyPipeline, traced: Traced, listener: Listener | None
    ) -> None:
        run = self._prepare(lease, pipeline, traced)
        active = self.tracking.attach(run.id)
        root = None
        executor = choose_executor(run, self.kernel.settings.executor)
        if run.bundle is not None and executor != "inline":
            root = self.extracted(bundles.read(self.kernel.objects, run.bundle), run.bundle)
        context = ExecutorContext(
            self.kernel,
            self.store,
            traced.steps,
            run.bundle,
            root,
            run.options.workers or self.kernel.settings.executor_workers,
        )
        active.activate()
        try:
            engine = Engine(
                self.kernel,
                self.tracking,
                self.store,
                lease=lease,
                run=run,
                traced=traced,
                executor=open_executor(executor, context),
                active=active,
                listener=listener,
            )
            engine.drive()
        finally:
            active.deactivate()

    def _prepare(self, lease: Lease, pipeline: AnyPipeline, traced: Traced) -> PipelineRun:
        """Resolve the inputs and write the steps, the first time; return the run as it then stands."""
        with self.kernel.catalog.read() as connection:
            row = connection.execute(sa.select(pipeline_run).where(pipeline_run.c.id == lease.run)).one()
        known: Resolved | None = None
        if row.inputs is None:
            known = resolve(pipeline, row.requested, reader=self.reader, store=self.store)
        captured = capture(self.kernel.objects) if known is not None else None
        with guarded(self.kernel.catalog, lease) as connection:
            if known is not None:
                change = pipeline_run.update().where(pipeline_run.c.id == lease.run)
                connection.execute(change.values(inputs=known.artifacts))
            queries.insert_steps(connection, lease.run, traced.graph)
            self.tracking.create_run(
                id=lease.run,
                experiment=row.pipeline,
                name=row.pipeline,
                params=known.params if known else {},
                tags={"pipeline": row.pipeline},
                inputs=known.datasets if known else [],
                capture=captured,
            )
            found = queries.read_run(connection, lease.run)
        if found is None:
            raise LeaseLostError(f"run {lease.run} is gone.", subject=f"run:{lease.run}")
        return found

    @contextmanager
    def _closing(self, lease: Lease) -> Iterator[None]:
        """End the run as failed on an error of ours, as cancelled on Ctrl-C; a lost lease ends quietly."""
        try:
            yield
        except LeaseLostError:
            return
        except KeyboardInterrupt:
            self._end(lease, "cancelled", "interrupted; `everloop resume` goes on with it")
            raise
        except EverloopError as error:
            self._end(lease, "failed", str(error))
        except Exception as error:  # noqa: BLE001 - code of a bundle may raise anything; no scheduler may die of it
            _log.exception("a run ended outside its steps", extra={"run": lease.run})
            self._end(lease, "failed", f"{type(error).__name__}: {error}")

    def _end(self, lease: Lease, status: str, error: str) -> None:
        now = self.kernel.clock.now()
        try:
            with guarded(self.kernel.catalog, lease) as connection:
                change = {"status": status, "error": error, "ended_at": now}
                connection.execute(pipeline_run.update().where(pipeline_run.c.id == lease.run).values(change))
                end_tracked(
                    self.tracking, connection, lease.run, "failed" if status == "failed" else "killed", error
                )
        except LeaseLostError:
            return


def choose_executor(run: PipelineRun, default: str) -> str:
    """Return the executor of a run: the one it names, else the default of this process where the run's code can travel there."""
    if run.options.executor:
        return run.options.executor
    return default if run.bundle is not None else "inline"


def end_tracked(tracking: Tracking, connection: sa.Connection, run_id: str, status: str, error: str) -> None:
    """Close the tracked run of a pipeline run, if it was started, in the caller's transaction."""
    from everloop.tracking import queries as tracked

    if tracked.exists(connection, run_id):
        tracking.finish_run(run_id, status="failed" if status == "failed" else "killed", error=error)
