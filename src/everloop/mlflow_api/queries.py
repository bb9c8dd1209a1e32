"""Queries of the protocol, all in a connection that the caller opened. Tests: tests/unit/mlflow_api, tests/integration/mlflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from everloop.mlflow_api.tables import ModelMetric, mlflow_artifact, mlflow_input, mlflow_model, mlflow_trace
from everloop.registry import queries as registry
from everloop.registry.records import ModelVersion, RegisteredModel
from everloop.registry.tables import model, model_alias, model_version
from everloop.tracking import queries as tracking
from everloop.tracking.tables import experiment, run, run_artifact, run_key, run_param

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from everloop.tracking.records import Plain


# Made once: building a statement costs more than running it.
_NAMED = sa.select(experiment).where(experiment.c.name == sa.bindparam("called"))
_NUMBERED = sa.select(experiment).where(experiment.c.id == sa.bindparam("which"))
_OF_RUN = (
    sa.select(experiment)
    .join(run, run.c.experiment_id == experiment.c.id)
    .where(run.c.id == sa.bindparam("uid"))
)
_RUN_STATE = sa.select(run.c.number, run.c.deleted_at.is_not(None)).where(run.c.id == sa.bindparam("uid"))


class ExperimentRow(NamedTuple):
    """An experiment without its number of runs, which costs a look at all of them."""

    id: int
    name: str
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    tags: dict[str, str]


class Stored(NamedTuple):
    """An artifact: its path below the folder that was asked for, and its content."""

    path: str
    digest: str
    size_bytes: int


def experiments(connection: sa.Connection, *where: sa.ColumnElement[bool]) -> list[ExperimentRow]:
    """Return experiments, oldest first."""
    query = sa.select(experiment).where(*where).order_by(experiment.c.id)
    return [
        ExperimentRow(row.id, row.name, row.created_at, row.updated_at, row.deleted_at, row.tags)
        for row in connection.execute(query)
    ]


def experiment_by_id(connection: sa.Connection, number: int) -> ExperimentRow | None:
    """Return the experiment of a number."""
    return _experiment(connection, _NUMBERED, {"which": number})


def experiment_by_name(connection: sa.Connection, name: str) -> ExperimentRow | None:
    """Return the experiment of a name."""
    return _experiment(connection, _NAMED, {"called": name})


def experiment_numbers(connection: sa.Connection, names: Iterable[str]) -> dict[str, ExperimentRow]:
    """Return the experiments of some names."""
    found = experiments(connection, experiment.c.name.in_(sorted(set(names))))
    return {row.name: row for row in found}


def experiment_of_run(connection: sa.Connection, run_id: str) -> ExperimentRow | None:
    """Return the experiment of a run."""
    return _experiment(connection, _OF_RUN, {"uid": run_id})


def _experiment(
    connection: sa.Connection, query: sa.Select[Any], asked: dict[str, object]
) -> ExperimentRow | None:
    row = connection.execute(query, asked).first()
    if row is None:
        return None
    return ExperimentRow(row.id, row.name, row.created_at, row.updated_at, row.deleted_at, row.tags)


def is_deleted(connection: sa.Connection, run_id: str) -> bool | None:
    """Say whether a run is in the trash; None when there is no such run."""
    row = connection.execute(_RUN_STATE, {"uid": run_id}).first()
    return None if row is None else bool(row[1])


def params_named(connection: sa.Connection, number: int, names: Sequence[str]) -> dict[str, Plain]:
    """Return those params of a run that have one of the names."""
    found: dict[str, Plain] = {}
    for start in range(0, len(names), tracking.MOST_NAMES):
        query = sa.select(run_key.c.name, run_param.c.value).where(
            run_param.c.run == number,
            run_key.c.id == run_param.c.key_id,
            run_key.c.kind == "param",
            run_key.c.name.in_(names[start : start + tracking.MOST_NAMES]),
        )
        found |= dict(connection.execute(query).all())
    return found


def put_inputs(connection: sa.Connection, rows: Sequence[dict[str, object]]) -> None:
    """Keep inputs and outputs of runs; the same one again replaces what was said of it."""
    tracking.put_rows(connection, mlflow_input, rows, change=("document",))


def inputs_of(connection: sa.Connection, ids: Sequence[str]) -> dict[str, list[Any]]:
    """Return inputs and outputs by the ids of runs."""
    found: dict[str, list[Any]] = {}
    query = sa.select(run.c.id, mlflow_input).join(mlflow_input, mlflow_input.c.run == run.c.number)
    for start in range(0, len(ids), tracking.MOST_NAMES):
        part = query.where(run.c.id.in_(ids[start : start + tracking.MOST_NAMES]))
        for row in connection.execute(part.order_by(mlflow_input.c.kind, mlflow_input.c.name)):
            found.setdefault(row.id, []).append(row)
    return found


def dataset_inputs(connection: sa.Connection) -> list[Any]:
    """Return id of run, id of experiment, name, digest and document of every dataset that a run read."""
    query = (
        sa.select(
            run.c.id, run.c.experiment_id, mlflow_input.c.name, mlflow_input.c.digest, mlflow_input.c.document
        )
        .join(mlflow_input, mlflow_input.c.run == run.c.number)
        .where(mlflow_input.c.kind == "dataset")
    )
    return list(connection.execute(query))


def run_artifacts(connection: sa.Connection, number: int, folder: str) -> list[Stored]:
    """Return the artifacts of a run below a folder (all of them for an empty one), and the one that has this very name."""
    name = run_artifact.c.name
    query = sa.select(name, run_artifact.c.digest, run_artifact.c.size_bytes).where(
        run_artifact.c.run == number
    )
    return _below(connection, query, name, folder)


def free_artifacts(connection: sa.Connection, folder: str) -> list[Stored]:
    """Return the artifacts outside runs below a folder, and the one that has this very name."""
    name = mlflow_artifact.c.place
    return _below(
        connection, sa.select(name, mlflow_artifact.c.digest, mlflow_artifact.c.size_bytes), name, folder
    )


def _below(
    connection: sa.Connection, query: sa.Select[Any], name: sa.ColumnElement[str], folder: str
) -> list[Stored]:
    if folder:
        query = query.where(sa.or_(name == folder, name.startswith(folder + "/", autoescape=True)))
    start = len(folder) + 1 if folder else 0
    return [Stored(path[start:], digest, size) for path, digest, size in connection.execute(query)]


def run_artifact_named(connection: sa.Connection, number: int, name: str) -> Stored | None:
    """Return one artifact of a run."""
    query = sa.select(run_artifact.c.name, run_artifact.c.digest, run_artifact.c.size_bytes)
    row = connection.execute(query.where(run_artifact.c.run == number, run_artifact.c.name == name)).first()
    return None if row is None else Stored(*row)


def free_artifact_named(connection: sa.Connection, place: str) -> Stored | None:
    """Return one artifact outside runs."""
    query = sa.select(mlflow_artifact.c.place, mlflow_artifact.c.digest, mlflow_artifact.c.size_bytes)
    row = connection.execute(query.where(mlflow_artifact.c.place == place)).first()
    return None if row is None else Stored(*row)


def put_free_artifact(connection: sa.Connection, place: str, digest: str, size: int, now: datetime) -> None:
    """Keep an artifact outside runs; the same place again replaces it."""
    row = {"place": place, "digest": digest, "size_bytes": size, "created_at": now}
    tracking.put_rows(connection, mlflow_artifact, [row], change=("digest", "size_bytes", "created_at"))


def remove_run_artifacts(connection: sa.Connection, number: int, names: Sequence[str]) -> None:
    """Remove artifacts of a run."""
    for start in range(0, len(names), tracking.MOST_NAMES):
        part = names[start : start + tracking.MOST_NAMES]
        connection.execute(
            run_artifact.delete().where(run_artifact.c.run == number, run_artifact.c.name.in_(part))
        )


def remove_free_artifacts(connection: sa.Connection, places: Sequence[str]) -> None:
    """Remove artifacts outside runs."""
    for start in range(0, len(places), tracking.MOST_NAMES):
        part = places[start : start + tracking.MOST_NAMES]
        connection.execute(mlflow_artifact.delete().where(mlflow_artifact.c.place.in_(part)))


class ModelRow(NamedTuple):
    """A logged model."""

    id: str
    experiment_id: int
    name: str
    kind: str
    run: str
    status: str
    status_message: str
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    params: dict[str, str]
    tags: dict[str, str]
    metrics: list[ModelMetric]


def put_model(connection: sa.Connection, row: ModelRow) -> None:
    """Keep a logged model; one of the same id is replaced."""
    values = row._asdict()
    change = [name for name in values if name != "id"]
    tracking.put_rows(connection, mlflow_model, [values], change=change)


def model_named(connection: sa.Connection, model_id: str, *, locks: bool = False) -> ModelRow | None:
    """Return a logged model that is not deleted; `locks` keeps other writers of it out until the commit."""
    query = sa.select(mlflow_model).where(mlflow_model.c.id == model_id, mlflow_model.c.deleted_at.is_(None))
    row = connection.execute(query.with_for_update() if locks else query).first()
    return None if row is None else ModelRow(*row)


def models_of(connection: sa.Connection, names: Sequence[str]) -> list[ModelRow]:
    """Return the logged models of experiments of some names, newest first."""
    numbers = sa.select(experiment.c.id).where(experiment.c.name.in_(names))
    query = sa.select(mlflow_model).where(
        mlflow_model.c.experiment_id.in_(numbers), mlflow_model.c.deleted_at.is_(None)
    )
    rows = connection.execute(query.order_by(mlflow_model.c.created_at.desc(), mlflow_model.c.id))
    return [ModelRow(*row) for row in rows]


def registered_models(connection: sa.Connection, name: str = "") -> list[RegisteredModel]:
    """Return the models by name, or the one of a name."""
    query = sa.select(model).order_by(model.c.name)
    if name:
        query = query.where(model.c.name == name)
    stands = aliases(connection, name)
    return [
        RegisteredModel(
            name=row.name,
            created_at=row.created_at,
            updated_at=row.updated_at,
            versions=0,
            aliases=stands.get(row.name, {}),
            note=row.note,
            tags=row.tags,
        )
        for row in connection.execute(query)
    ]


def aliases(connection: sa.Connection, name: str = "") -> dict[str, dict[str, int]]:
    """Return where aliases stand, by model."""
    query = sa.select(model_alias)
    if name:
        query = query.where(model_alias.c.model == name)
    found: dict[str, dict[str, int]] = {}
    for row in connection.execute(query):
        found.setdefault(row.model, {})[row.alias] = row.version
    return found


def model_versions(connection: sa.Connection, name: str = "") -> list[ModelVersion]:
    """Return the versions of all models, or of one."""
    query = sa.select(model_version).where(model_version.c.deleted_at.is_(None))
    if name:
        query = query.where(model_version.c.model == name)
    return [registry.version_from(row) for row in connection.execute(query)]


class TraceRow(NamedTuple):
    """A trace; `requested_at` in microseconds since 1970."""

    id: str
    experiment_id: int
    requested_at: int
    info: dict[str, Any]
    tags: dict[str, str]
    assessments: list[dict[str, Any]]


def put_trace(connection: sa.Connection, row: TraceRow) -> None:
    """Keep a trace; one of the same id is replaced."""
    values = row._asdict()
    tracking.put_rows(connection, mlflow_trace, [values], change=[name for name in values if name != "id"])


def trace_named(connection: sa.Connection, trace_id: str, *, locks: bool = False) -> TraceRow | None:
    """Return a trace; `locks` keeps other writers of it out until the commit."""
    query = sa.select(mlflow_trace).where(mlflow_trace.c.id == trace_id)
    row = connection.execute(query.with_for_update() if locks else query).first()
    return None if row is None else TraceRow(*row)


def traces_of(connection: sa.Connection, names: Sequence[str]) -> list[TraceRow]:
    """Return the traces of experiments of some names, newest first."""
    numbers = sa.select(experiment.c.id).where(experiment.c.name.in_(names))
    query = sa.select(mlflow_trace).where(mlflow_trace.c.experiment_id.in_(numbers))
    rows = connection.execute(query.order_by(mlflow_trace.c.requested_at.desc(), mlflow_trace.c.id))
    return [TraceRow(*row) for row in rows]


def remove_traces(connection: sa.Connection, ids: Sequence[str]) -> None:
    """Remove traces."""
    for start in range(0, len(ids), tracking.MOST_NAMES):
        part = ids[start : start + tracking.MOST_NAMES]
        connection.execute(mlflow_trace.delete().where(mlflow_trace.c.id.in_(part)))
