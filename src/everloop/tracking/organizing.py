"""The verbs that people use on runs and experiments: names, notes, tags, trash. Tests: tests/unit/tracking/test_organizing.py."""

from __future__ import annotations

import builtins
from typing import Any

import sqlalchemy as sa

from everloop.core.errors import ConflictError, NotFoundError
from everloop.kernel.operations import operation
from everloop.tracking import queries
from everloop.tracking.naming import check_names, check_texts
from everloop.tracking.recording import Recording
from everloop.tracking.records import Experiment, Run
from everloop.tracking.tables import experiment as experiments
from everloop.tracking.tables import run as runs

_STATE = sa.select(experiments.c.name, experiments.c.deleted_at).where(
    experiments.c.id == sa.bindparam("which")
)


class ExperimentNotFoundError(NotFoundError):
    """No experiment has this name."""

    code = "tracking.experiment-not-found"


class ExperimentExistsError(ConflictError):
    """An experiment has this name already; also one in the trash keeps its name."""

    code = "tracking.experiment-exists"


class ExperimentDeletedError(ConflictError):
    """An experiment in the trash takes no runs."""

    code = "tracking.experiment-deleted"


class Organizing(Recording):
    """Names, notes, tags and trash."""

    @operation("PATCH /runs/{run}", needs="run.write", emits="run.edited", cli="runs edit")
    def edit_run(
        self,
        run: str,
        *,
        name: str | None = None,
        note: str | None = None,
        tags: dict[str, str] | None = None,
        remove_tags: builtins.list[str] | None = None,
    ) -> Run:
        """Change what people say about a run: its name, note and tags.

        Args:
            run: its id.
            name: the new one; left as it is when not given.
            note: the new text about it; left as it is when not given.
            tags: labels to set.
            remove_tags: labels to take away; one that is not there is no error.
        """
        check_names([*(tags or {})])
        check_texts({**(tags or {}), "note": note})
        change = {key: value for key, value in (("name", name), ("note", note)) if value is not None}
        with self.kernel.catalog.transaction() as connection:
            row = self.writable(connection, run)
            queries.set_tags(connection, row.number, tags or {}, experiment_id=row.experiment_id)
            queries.remove_tags(connection, row.number, remove_tags or [])
            queries.change_run(connection, row.number, **change)
            told = {**change, "tags": tags or {}, "removed_tags": remove_tags or []}
            self.emit(connection, subject=f"run:{run}", payload=told)
            return queries.read_runs(connection, [row.number])[0]

    @operation("DELETE /runs/{run}", needs="run.delete", emits="run.deleted", cli="runs rm")
    def delete_run(self, run: str) -> Run:
        """Put a run into the trash; it keeps all it has until the trash is emptied."""
        with self.kernel.catalog.transaction() as connection:
            row = queries.lock(connection, run) or self.missing(run)
            if row.is_deleted:
                self.unchanged()
            else:
                queries.change_run(connection, row.number, deleted_at=self.kernel.clock.now())
                self.emit(connection, subject=f"run:{run}")
            return queries.read_runs(connection, [row.number])[0]

    @operation("POST /runs/{run}/restore", needs="run.delete", emits="run.restored", cli="runs restore")
    def restore_run(self, run: str) -> Run:
        """Take a run out of the trash.

        Raises:
            ExperimentDeletedError: its experiment is in the trash too.
        """
        with self.kernel.catalog.transaction() as connection:
            row = queries.lock(connection, run) or self.missing(run)
            self.refuse_deleted(connection, row.experiment_id)
            if row.is_deleted:
                queries.change_run(connection, row.number, deleted_at=None)
                self.emit(connection, subject=f"run:{run}")
            else:
                self.unchanged()
            return queries.read_runs(connection, [row.number])[0]

    @operation("GET /experiments", needs="run.read", cli="runs experiments")
    def experiments(self, *, deleted: bool = False) -> builtins.list[Experiment]:
        """Return the experiments by name with the number of their runs.

        Args:
            deleted: those in the trash too.
        """
        with self.kernel.catalog.read() as connection:
            return queries.list_experiments(connection, deleted=deleted)

    @operation("POST /experiments", needs="run.write", emits="experiment.created", cli="runs new-experiment")
    def create_experiment(self, name: str, *, tags: dict[str, str] | None = None) -> Experiment:
        """Make an experiment.

        Raises:
            ExperimentExistsError: the name is taken.
        """
        check_names([name, *(tags or {})])
        with self.kernel.catalog.transaction() as connection:
            self._refuse_taken(connection, name)
            now = self.kernel.clock.now()
            values = {"name": name, "created_at": now, "updated_at": now, "tags": tags or {}}
            connection.execute(experiments.insert().values(values))
            self.emit(connection, subject=f"experiment:{name}")
            return self._experiment(connection, name)

    @operation(
        "PATCH /experiments/{experiment}",
        needs="run.write",
        emits="experiment.edited",
        cli="runs edit-experiment",
    )
    def edit_experiment(
        self,
        experiment: str,
        *,
        name: str | None = None,
        tags: dict[str, str] | None = None,
        remove_tags: builtins.list[str] | None = None,
    ) -> Experiment:
        """Change the name and tags of an experiment.

        Args:
            experiment: its name.
            name: the new one.
            tags: labels to set.
            remove_tags: labels to take away.

        Raises:
            ExperimentNotFoundError, ExperimentExistsError, ExperimentDeletedError: as named.
        """
        check_names([*([name] if name is not None else []), *(tags or {})])
        check_texts(dict(tags or {}))
        with self.kernel.catalog.transaction() as connection:
            before = self._experiment(connection, experiment)
            self.refuse_deleted(connection, before.id)
            if name is not None and name != experiment:
                self._refuse_taken(connection, name)
            kept = {key: value for key, value in before.tags.items() if key not in (remove_tags or [])}
            values = {
                "name": experiment if name is None else name,
                "tags": kept | (tags or {}),
                "updated_at": self.kernel.clock.now(),
            }
            connection.execute(experiments.update().where(experiments.c.id == before.id).values(values))
            told = {"name": name, "tags": tags or {}, "removed_tags": remove_tags or []}
            self.emit(connection, subject=f"experiment:{experiment}", payload=told)
            return self._experiment(connection, str(values["name"]))

    @operation(
        "DELETE /experiments/{experiment}",
        needs="run.delete",
        emits="experiment.deleted",
        cli="runs rm-experiment",
    )
    def delete_experiment(self, experiment: str) -> Experiment:
        """Put an experiment and its runs into the trash; its name stays taken until the trash is emptied."""
        return self._move(experiment, to_trash=True)

    @operation(
        "POST /experiments/{experiment}/restore",
        needs="run.delete",
        emits="experiment.restored",
        cli="runs restore-experiment",
    )
    def restore_experiment(self, experiment: str) -> Experiment:
        """Take an experiment out of the trash, with the runs that went there with it."""
        return self._move(experiment, to_trash=False)

    def _move(self, name: str, *, to_trash: bool) -> Experiment:
        with self.kernel.catalog.transaction() as connection:
            before = self._experiment(connection, name)
            if (before.deleted_at is not None) == to_trash:
                self.unchanged()
                return before
            now = self.kernel.clock.now()
            at = now if to_trash else None
            # Runs that were in the trash before keep their own time, so that they stay there.
            moved = runs.c.deleted_at.is_(None) if to_trash else runs.c.deleted_at == before.deleted_at
            change = {"deleted_at": at, "changed": queries.next_change(connection)}
            connection.execute(runs.update().where(runs.c.experiment_id == before.id, moved).values(change))
            values = {"deleted_at": at, "updated_at": now}
            connection.execute(experiments.update().where(experiments.c.id == before.id).values(values))
            self.emit(connection, subject=f"experiment:{name}")
            return self._experiment(connection, name)

    def refuse_deleted(self, connection: sa.Connection, experiment_id: int) -> None:
        """Refuse an experiment that is in the trash.

        Raises:
            ExperimentDeletedError: as named.
        """
        row = connection.execute(_STATE, {"which": experiment_id}).one()
        if row.deleted_at is not None:
            raise ExperimentDeletedError(
                f"experiment {row.name} is in the trash. Take it back with `everloop runs restore-experiment {row.name}`.",
                subject=f"experiment:{row.name}",
            )

    def _refuse_taken(self, connection: sa.Connection, name: str) -> None:
        if (
            connection.execute(sa.select(experiments.c.id).where(experiments.c.name == name)).first()
            is not None
        ):
            raise ExperimentExistsError(
                f"there is an experiment {name} (`everloop runs experiments --deleted` shows those in the trash too). "
                "Choose another name.",
                subject=f"experiment:{name}",
            )

    def _experiment(self, connection: sa.Connection, name: str) -> Experiment:
        counted = sa.select(sa.func.count()).where(
            runs.c.experiment_id == experiments.c.id, runs.c.deleted_at.is_(None)
        )
        query = sa.select(experiments, counted.scalar_subquery().label("runs")).where(
            experiments.c.name == name
        )
        row: Any = connection.execute(query).first()
        if row is None:
            raise ExperimentNotFoundError(
                f"there is no experiment {name}. `everloop runs experiments` lists them.",
                subject=f"experiment:{name}",
            )
        return queries.as_experiment(row)
