"""The verbs of tracking. Tests: tests/unit/tracking/test_service.py."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING

import sqlalchemy as sa

from everloop.core.digests import Digest, parse_digest
from everloop.core.errors import NotFoundError
from everloop.core.ids import new_id
from everloop.kernel.operations import Service, operation
from everloop.tracking import queries
from everloop.tracking.capture import capture
from everloop.tracking.client import ActiveRun
from everloop.tracking.records import (
    Capture,
    DatasetInput,
    Experiment,
    Plain,
    Point,
    Run,
    RunArtifact,
    RunStatus,
)
from everloop.tracking.tables import experiment as experiments
from everloop.tracking.tables import run as runs
from everloop.tracking.tables import run_artifact, run_batch, run_input

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class RunNotFoundError(NotFoundError):
    """No run has this id."""

    code = "tracking.run-not-found"


class Tracking(Service):
    """Experiments and runs."""

    stage = "tracking"

    def start(
        self,
        *,
        experiment: str = "default",
        name: str = "",
        params: Mapping[str, Plain] | None = None,
        tags: Mapping[str, str] | None = None,
        inputs: Sequence[DatasetInput] = (),
        run_id: str = "",
    ) -> ActiveRun:
        """Start a run and return it; use it in a `with` block.

        Args:
            experiment: group of runs; made on first use.
            name: for people; need not be unique.
            params: plain values set before the run.
            tags: labels for search.
            inputs: dataset versions that the run reads.
            run_id: start under this id, or go on with the run that has it.
        """
        run = ActiveRun(self, self.kernel.objects, self.kernel.clock, run_id=run_id or new_id())
        self.create_run(
            id=run.id,
            experiment=experiment,
            name=name,
            params=dict(params or {}),
            tags=dict(tags or {}),
            inputs=builtins.list(inputs),
            capture=capture(self.kernel.objects),
        )
        return run

    def attach(self, run_id: str) -> ActiveRun:
        """Return a run that another process started, to log to it."""
        return ActiveRun(self, self.kernel.objects, self.kernel.clock, run_id=run_id)

    @operation(
        "POST /runs", needs="run.write", emits="run.started", cli=None, cli_reason="a run starts from code"
    )
    def create_run(
        self,
        *,
        id: str,  # noqa: A002 - the field of the record
        experiment: str = "default",
        name: str = "",
        params: dict[str, Plain] | None = None,
        tags: dict[str, str] | None = None,
        inputs: builtins.list[DatasetInput] | None = None,
        capture: Capture | None = None,
    ) -> Run:
        """Start a run under an id its client made; a run that exists goes on (event `run.resumed`)."""
        with self.kernel.catalog.transaction() as connection:
            if self._go_on(connection, id):
                return queries.read_run(connection, id) or self._missing(id)
            now = self.kernel.clock.now()
            queries.insert_missing(
                connection, experiments, {"name": experiment, "created_at": now}, key="name"
            )
            values = {
                "id": id,
                "experiment": experiment,
                "name": name,
                "status": "running",
                "created_at": now,
            }
            connection.execute(runs.insert().values(**values, error="", capture=capture or Capture()))
            queries.set_params(connection, id, params or {})
            queries.set_tags(connection, id, tags or {})
            event = self.emit(
                connection, subject=f"run:{id}", payload={"experiment": experiment, "name": name}
            )
            self._link_inputs(connection, id, inputs or [], event)
            return queries.read_run(connection, id) or self._missing(id)

    def _go_on(self, connection: sa.Connection, run_id: str) -> bool:
        known = connection.execute(sa.select(runs.c.status).where(runs.c.id == run_id)).scalar()
        if known is None:
            return False
        if known == "running":
            self.unchanged()
            return True
        change = runs.update().where(runs.c.id == run_id).values(status="running", ended_at=None, error="")
        connection.execute(change)
        self.emit(connection, kind="run.resumed", subject=f"run:{run_id}", payload={"was": known})
        return True

    def _link_inputs(
        self, connection: sa.Connection, run_id: str, inputs: builtins.list[DatasetInput], event: str
    ) -> None:
        for item in inputs:
            values = {"run_id": run_id, "name": item.name, "ref": item.ref, "digest": item.digest}
            connection.execute(run_input.insert().values(values))
            self.kernel.events.link(
                connection, source=f"dataset:{item.ref}", verb="read", target=f"run:{run_id}", event=event
            )

    @operation(
        "POST /runs/{run}/batches",
        needs="run.write",
        emits="run.logged",
        cli=None,
        cli_reason="values come from code",
    )
    def log_batch(
        self,
        run: str,
        *,
        writer: str,
        sequence: int,
        points: builtins.list[Point] | None = None,
        params: dict[str, Plain] | None = None,
        tags: dict[str, str] | None = None,
    ) -> int:
        """Apply one batch of values, once for each (run, writer, sequence); return how many points were added."""
        with self.kernel.catalog.transaction() as connection:
            self.unchanged()  # values are rows, not events: a run may log a million
            if not queries.exists(connection, run):
                self._missing(run)
            key = {"run_id": run, "writer": writer, "sequence": sequence}
            if not queries.insert_missing(connection, run_batch, key, key="sequence"):
                return 0
            queries.add_points(connection, run, points or [])
            queries.set_params(connection, run, params or {})
            queries.set_tags(connection, run, tags or {})
        return len(points or [])

    @operation("POST /runs/{run}/finish", needs="run.write", emits="run.finished", cli="runs finish")
    def finish_run(self, run: str, *, status: RunStatus = "finished", error: str = "") -> Run:
        """Close a run; closing it again the same way changes nothing."""
        with self.kernel.catalog.transaction() as connection:
            before = queries.read_run(connection, run) or self._missing(run)
            if before.status == status:
                self.unchanged()
                return before
            change = {"status": status, "error": error, "ended_at": self.kernel.clock.now()}
            connection.execute(runs.update().where(runs.c.id == run).values(change))
            kind = "run.finished" if status == "finished" else f"run.{status}"
            self.emit(
                connection, kind=kind, subject=f"run:{run}", payload={"status": status, "error": error[:500]}
            )
            return queries.read_run(connection, run) or self._missing(run)

    @operation("GET /runs/{run}", needs="run.read", cli="runs show")
    def get_run(self, run: str) -> Run:
        """Return a run with params, tags, last metrics and inputs."""
        with self.kernel.catalog.read() as connection:
            return queries.read_run(connection, run) or self._missing(run)

    @operation("GET /runs", needs="run.read", cli="runs ls")
    def list(
        self, *, experiment: str = "", status: str = "", limit: int = 100, after: str = ""
    ) -> builtins.list[Run]:
        """Return runs, newest first.

        Args:
            experiment: only of this group.
            status: only in this state.
            limit: at most this many.
            after: id of the last run of the page before.
        """
        with self.kernel.catalog.read() as connection:
            return queries.list_runs(
                connection, experiment=experiment, status=status, limit=limit, after=after
            )

    @operation("GET /experiments", needs="run.read", cli="runs experiments")
    def experiments(self) -> builtins.list[Experiment]:
        """Return the experiments by name with the number of their runs."""
        with self.kernel.catalog.read() as connection:
            return queries.list_experiments(connection)

    @operation("GET /runs/{run}/history", needs="run.read", cli="runs metrics")
    def history(
        self, run: str, *, name: str = "", limit: int = 10_000, after: int = 0
    ) -> builtins.list[Point]:
        """Return the points of a metric (of all metrics without a name) in the order of name and step.

        Args:
            run: its id.
            name: the metric.
            limit: at most this many.
            after: skip points up to this step, exclusive of it; 0 reads all.
        """
        with self.kernel.catalog.read() as connection:
            if not queries.exists(connection, run):
                self._missing(run)
            return queries.history(connection, run, name=name, limit=limit, after=after)

    @operation(
        "POST /runs/{run}/artifacts",
        needs="run.write",
        emits="run.artifact_recorded",
        cli=None,
        cli_reason="from code",
    )
    def record_artifact(self, run: str, *, name: str, digest: str, size_bytes: int) -> RunArtifact:
        """Name a stored object as an output of a run; the same name again replaces it."""
        artifact = RunArtifact(
            run=run,
            name=name,
            digest=parse_digest(digest),
            size_bytes=size_bytes,
            created_at=self.kernel.clock.now(),
        )
        values = {"run_id": run, "name": name, "digest": artifact.digest, "size_bytes": size_bytes}
        with self.kernel.catalog.transaction() as connection:
            if not queries.exists(connection, run):
                self._missing(run)
            connection.execute(
                run_artifact.delete().where(run_artifact.c.run_id == run, run_artifact.c.name == name)
            )
            connection.execute(run_artifact.insert().values(**values, created_at=artifact.created_at))
            self.emit(connection, subject=f"run:{run}", payload={"name": name, "digest": digest})
        return artifact

    @operation("GET /runs/{run}/artifacts", needs="run.read", cli="runs artifacts")
    def artifacts(self, run: str) -> builtins.list[RunArtifact]:
        """Return the artifacts of a run by name."""
        query = sa.select(run_artifact).where(run_artifact.c.run_id == run).order_by(run_artifact.c.name)
        with self.kernel.catalog.read() as connection:
            return [
                RunArtifact(
                    run=row.run_id,
                    name=row.name,
                    digest=Digest(row.digest),
                    size_bytes=row.size_bytes,
                    created_at=row.created_at,
                )
                for row in connection.execute(query)
            ]

    def _missing(self, run: str) -> Run:
        raise RunNotFoundError(
            f"there is no run {run}. `everloop runs ls` lists the runs.", subject=f"run:{run}"
        )
