"""The verbs of tracking. Tests: tests/unit/tracking/test_service.py."""

from __future__ import annotations

import builtins
from datetime import datetime
from typing import TYPE_CHECKING

from everloop.core.actors import current_actor
from everloop.core.clock import to_microseconds
from everloop.core.errors import InvalidInputError, UnavailableError
from everloop.core.ids import new_id
from everloop.kernel.operations import operation
from everloop.tracking import queries
from everloop.tracking.capture import look
from everloop.tracking.client import ActiveRun, flatten
from everloop.tracking.comparing import Comparing
from everloop.tracking.courier import Background, Direct
from everloop.tracking.delivery import Delivery
from everloop.tracking.naming import check_names, check_texts
from everloop.tracking.organizing import Organizing
from everloop.tracking.recording import RunDeletedError, RunNotFoundError
from everloop.tracking.records import Capture, DatasetInput, Plain, Run, RunStatus
from everloop.tracking.showing import Showing
from everloop.tracking.spool import Start
from everloop.tracking.tables import run as runs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import sqlalchemy as sa

    from everloop.tracking.syncing import Synced

__all__ = ["RunDeletedError", "RunNotFoundError", "Tracking"]

_SYSTEM_METRICS_S = 10.0


_NEW_RUN = runs.insert().returning(runs.c.number)


class BadForkError(InvalidInputError):
    """A run cannot be forked like this."""

    code = "tracking.bad-fork"


class Tracking(Comparing, Organizing, Showing):
    """Experiments and runs."""

    stage = "tracking"

    def start(  # noqa: PLR0913 - what a run is, by keyword
        self,
        *,
        experiment: str = "default",
        name: str = "",
        params: Mapping[str, Plain] | None = None,
        tags: Mapping[str, str] | None = None,
        inputs: Sequence[DatasetInput] = (),
        run_id: str = "",
        parent: str = "",
        fork_of: str = "",
        fork_step: float | None = None,
        offline: bool = False,
        console: bool | None = None,
        system_metrics: bool | None = None,
    ) -> ActiveRun:
        """Start a run and return it; use it in a `with` block.

        A home that does not answer is no error: the run goes on, and what it logs is kept until the home is back.

        Args:
            experiment: group of runs; made on first use.
            name: for people; need not be unique.
            params: plain values set before the run.
            tags: labels for search.
            inputs: dataset versions that the run reads.
            run_id: start under this id, or go on with the run that has it.
            parent: id of the run around this one.
            fork_of: id of a run whose series this one goes on with.
            fork_step: the last step to take from that run.
            offline: ask the home for nothing; `everloop sync` sends the run later.
            console: keep what the program prints; by default as the setting `capture_console` says.
            system_metrics: log the use of processors, memory, disk, network and GPUs; by default as `system_metrics_every_s` says.
        """
        settings = self.kernel.settings
        captured, files = look()
        start = Start(
            id=run_id or new_id(),
            experiment=experiment,
            name=name,
            started_at=to_microseconds(self.kernel.clock.now()),
            params=flatten(params or {}),
            tags=dict(tags or {}),
            inputs=builtins.list(inputs),
            capture=captured,
            parent=parent,
            fork_of=fork_of,
            fork_step=fork_step,
            files=files,
        )
        courier = Background(
            self,
            self.kernel.objects,
            self.kernel.clock,
            start=start,
            folder=settings.spool_folder / start.id,
            is_started=not offline and self._is_started(start),
            is_offline=offline,
        )
        run = ActiveRun(self, self.kernel.objects, courier, run_id=start.id)
        if settings.capture_console if console is None else console:
            run.capture_console()
        every_s = settings.system_metrics_every_s or (_SYSTEM_METRICS_S if system_metrics else 0)
        if every_s and system_metrics is not False:
            run.watch_system(every_s)
        return run

    def _is_started(self, start: Start) -> bool:
        """Start a run at its home; False when the home is away."""
        try:
            Delivery(self, self.kernel.objects, run=start.id, writer="").deliver(start)
        except UnavailableError:
            return False
        return True

    def attach(self, run_id: str) -> ActiveRun:
        """Return a run that another process started, to log to it; its values are sent in the thread that logs them."""
        courier = Direct(self, self.kernel.objects, self.kernel.clock, run=run_id)
        return ActiveRun(self, self.kernel.objects, courier, run_id=run_id)

    def sync(
        self,
        *,
        folder: Path | None = None,
        closed: bool = False,
        told: Callable[[Synced], None] | None = None,
    ) -> builtins.list[Synced]:
        """Send what runs left on this machine's disk because their home was away, each value once.

        Args:
            folder: of spools; that of the settings by default.
            closed: also remove the spools of runs without an end; only when their processes are gone.
            told: called with the result of each spool as it is done.
        """
        from everloop.tracking.syncing import sync

        return sync(self, folder or self.kernel.settings.spool_folder, closed=closed, told=told)

    @operation(
        "POST /runs", needs="run.write", emits="run.started", cli=None, cli_reason="a run starts from code"
    )
    def create_run(  # noqa: PLR0913 - what a run is, by keyword
        self,
        *,
        id: str,  # noqa: A002 - the field of the record
        experiment: str = "default",
        name: str = "",
        params: dict[str, Plain] | None = None,
        tags: dict[str, str] | None = None,
        inputs: builtins.list[DatasetInput] | None = None,
        capture: Capture | None = None,
        parent: str = "",
        fork_of: str = "",
        fork_step: float | None = None,
        started_at: datetime | None = None,
        note: str = "",
    ) -> Run:
        """Start a run under an id its client made; a run that exists goes on (event `run.resumed`).

        Args:
            id: of the run.
            experiment: group of runs; made on first use.
            name: for people.
            params: plain values set before the run.
            tags: labels for search.
            inputs: dataset versions that the run reads.
            parent: id of the run around this one.
            fork_of: id of a run whose series this one goes on with.
            fork_step: the last step to take from that run.
            capture: code and environment.
            started_at: when it started, for a run made away from the home; now by default.
            note: text about it.

        Raises:
            RunDeletedError: the run is in the trash.
            BadForkError, RunNotFoundError: the run to fork, or the parent, is not there.
        """
        check_names([experiment, *(params or {}), *(tags or {})])
        check_texts({**(params or {}), **(tags or {})})
        if (fork_step is None) != (not fork_of):
            raise BadForkError(
                "a fork names a run and a step: give both fork_of and fork_step.", subject=f"run:{id}"
            )
        with self.kernel.catalog.transaction() as connection:
            if self._go_on(connection, id):
                return queries.read_run(connection, id) or self.missing(id)
            now = self.kernel.clock.now()
            group = queries.experiment_id(connection, experiment, now)
            self.refuse_deleted(connection, group)
            values = {
                "id": id,
                "experiment_id": group,
                "name": name,
                "status": "running",
                "created_at": started_at or now,
                "error": "",
                "owner": current_actor().name,
                "note": note,
                "parent": self._number(connection, parent),
                "fork_of": self._number(connection, fork_of),
                "fork_step": fork_step,
                "capture": capture or Capture(),
                "changed": queries.next_change(connection),
                "tail_rows": 0,
                "tail_points": 0,
                "tail_next": 0,
            }
            number = int(connection.execute(_NEW_RUN, values).scalar_one())
            queries.set_params(connection, number, params or {}, experiment_id=group)
            queries.set_tags(connection, number, tags or {}, experiment_id=group)
            event = self.emit(
                connection, subject=f"run:{id}", payload={"experiment": experiment, "name": name}
            )
            self.link_inputs(connection, number, id, inputs or [], event)
            return Run(
                id=id,
                experiment=experiment,
                name=name,
                status="running",
                created_at=started_at or now,
                owner=current_actor().name,
                note=note,
                parent=parent,
                fork_of=fork_of,
                fork_step=fork_step,
                capture=capture or Capture(),
                params=dict(sorted((params or {}).items())),
                tags=dict(sorted((tags or {}).items())),
                inputs=sorted({one.name: one for one in inputs or []}.values(), key=lambda one: one.name),
            )

    def _number(self, connection: sa.Connection, run: str) -> int | None:
        if not run:
            return None
        number = queries.number_of(connection, run)
        return self.missing(run) if number is None else number

    def _go_on(self, connection: sa.Connection, run_id: str) -> bool:
        row = queries.lock(connection, run_id)
        if row is None:
            return False
        self.writable(connection, run_id)
        if row.status == "running":
            self.unchanged()
            return True
        queries.change_run(connection, row.number, status="running", ended_at=None, error="")
        self.emit(connection, kind="run.resumed", subject=f"run:{run_id}", payload={"was": row.status})
        return True

    @operation("POST /runs/{run}/finish", needs="run.write", emits="run.finished", cli="runs finish")
    def finish_run(
        self, run: str, *, status: RunStatus = "finished", error: str = "", ended_at: datetime | None = None
    ) -> Run:
        """Close a run; closing it again the same way changes nothing.

        Args:
            run: its id.
            status: how it ended.
            error: why, when it failed.
            ended_at: when it ended, for a run made away from the home; now by default.
        """
        from everloop.tracking.series import keeping

        with self.kernel.catalog.transaction() as connection:
            row = self.writable(connection, run)
            if row.status == status:
                self.unchanged()
                return queries.read_runs(connection, [row.number])[0]
            sealed = keeping.seal(connection, row.number) if row.tail_rows else {}
            ended = ended_at or self.kernel.clock.now()
            queries.change_run(connection, row.number, status=status, error=error, ended_at=ended, **sealed)
            kind = "run.finished" if status == "finished" else f"run.{status}"
            self.emit(
                connection, kind=kind, subject=f"run:{run}", payload={"status": status, "error": error[:500]}
            )
            return queries.read_runs(connection, [row.number])[0]

    @operation("GET /runs/{run}", needs="run.read", cli="runs show")
    def get_run(self, run: str) -> Run:
        """Return a run with params, tags, latest metrics and inputs."""
        with self.kernel.catalog.read() as connection:
            return queries.read_run(connection, run) or self.missing(run)

    @operation("GET /runs", needs="run.read", cli="runs ls")
    def list(
        self, *, experiment: str = "", status: str = "", limit: int = 100, after: str = ""
    ) -> builtins.list[Run]:
        """Return runs that are not in the trash, newest first.

        Args:
            experiment: only of this group.
            status: only in this state.
            limit: at most this many.
            after: id of the last run of the page before.
        """
        with self.kernel.catalog.read() as connection:
            return queries.list_runs(
                connection, experiment_name=experiment, status=status, limit=limit, after=after
            )
