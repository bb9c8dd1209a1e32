"""Endpoints of logged models: what MLflow 3 makes of every model that is logged, registered or not.

Tests: tests/integration/mlflow.
"""

from __future__ import annotations

import secrets
from typing import Any

import msgspec

from everloop.app import App
from everloop.mlflow_api import places, queries
from everloop.mlflow_api.endpoints import Tag, endpoint, required
from everloop.mlflow_api.errors import BadParameterError, NothingThereError
from everloop.mlflow_api.experiments import look_up, milliseconds, names_of, number_of, place_of
from everloop.mlflow_api.filters import Clause, holds, parse
from everloop.mlflow_api.pages import page, within
from everloop.mlflow_api.queries import ExperimentRow, ModelRow

_STATES = (
    "LOGGED_MODEL_STATUS_UNSPECIFIED",
    "LOGGED_MODEL_PENDING",
    "LOGGED_MODEL_READY",
    "LOGGED_MODEL_UPLOAD_FAILED",
)
_PENDING = _STATES[1]


class Created(msgspec.Struct):
    """What a logged model is made of."""

    experiment_id: str = ""
    name: str = ""
    model_type: str = ""
    source_run_id: str = ""
    params: list[Tag] = []
    tags: list[Tag] = []


class ById(msgspec.Struct):
    """A logged model by id."""

    model_id: str = ""


class Finalized(msgspec.Struct):
    """How the upload of a model ended."""

    model_id: str = ""
    status: str | int = ""


class Params(msgspec.Struct):
    """Params of a logged model."""

    model_id: str = ""
    params: list[Tag] = []


class Tags(msgspec.Struct):
    """Tags of a logged model."""

    model_id: str = ""
    tags: list[Tag] = []


class OneTag(msgspec.Struct):
    """A tag of a logged model."""

    model_id: str = ""
    tag_key: str = ""


class Dataset(msgspec.Struct):
    """A dataset that metrics were measured on."""

    dataset_name: str = ""
    dataset_digest: str = ""


class OrderBy(msgspec.Struct):
    """What to sort by."""

    field_name: str = ""
    ascending: bool = True
    dataset_name: str = ""
    dataset_digest: str = ""


class Search(msgspec.Struct):
    """A search for logged models."""

    experiment_ids: list[str] = []
    filter: str = ""
    datasets: list[Dataset] = []
    max_results: int | None = None
    order_by: list[OrderBy] = []
    page_token: str = ""


class Folder(msgspec.Struct):
    """A folder of a logged model's artifacts."""

    model_id: str = ""
    artifact_directory_path: str = ""
    page_token: str = ""


@endpoint("POST logged-models", needs="run.write")
def create(app: App, asked: Created) -> dict[str, Any]:
    """Make a logged model, which is pending until its files are there."""
    experiment = look_up(app, asked.experiment_id or "0")
    if experiment.deleted_at is not None:
        raise BadParameterError(
            f"The experiment {asked.experiment_id} must be in the 'active' state. Current state is deleted."
        )
    now = app.kernel.clock.now()
    row = ModelRow(
        id=f"m-{secrets.token_hex(16)}",
        experiment_id=experiment.id,
        name=asked.name or f"model-{secrets.token_hex(4)}",
        kind=asked.model_type,
        run=asked.source_run_id,
        status=_PENDING,
        status_message="",
        created_at=now,
        updated_at=now,
        deleted_at=None,
        params={one.key: one.value for one in asked.params},
        tags={one.key: one.value for one in asked.tags},
        metrics=[],
    )
    with app.kernel.catalog.transaction() as connection:
        queries.put_model(connection, row)
    return {"model": as_document(row, experiment)}


@endpoint("GET logged-models/{model_id}", needs="run.read")
def get(app: App, asked: ById) -> dict[str, Any]:
    """Return a logged model."""
    row = find(app, asked.model_id)
    return {"model": as_document(row, _experiment(app, row))}


@endpoint("PATCH logged-models/{model_id}", needs="run.write")
def finalize(app: App, asked: Finalized) -> dict[str, Any]:
    """Say that the files are there, or that they could not be sent."""
    status = str(asked.status)
    name = _STATES[int(status)] if status.isdecimal() and int(status) < len(_STATES) else status
    if name not in _STATES[2:]:
        raise BadParameterError(
            f"Invalid model status '{asked.status}': a model ends as READY or UPLOAD_FAILED."
        )
    return {"model": _change(app, asked.model_id, lambda row: row._replace(status=name))}


@endpoint("DELETE logged-models/{model_id}", needs="run.delete")
def delete(app: App, asked: ById) -> None:
    """Delete a logged model; its files stay until they are collected."""
    now = app.kernel.clock.now()
    with app.kernel.catalog.transaction() as connection:
        row = find(app, asked.model_id, locks=True)
        queries.put_model(connection, row._replace(deleted_at=now))


@endpoint("POST logged-models/{model_id}/params", needs="run.write")
def log_params(app: App, asked: Params) -> None:
    """Add params."""
    params = {one.key: one.value for one in asked.params}
    _change(app, asked.model_id, lambda row: row._replace(params=row.params | params))


@endpoint("PATCH logged-models/{model_id}/tags", needs="run.write")
def set_tags(app: App, asked: Tags) -> dict[str, Any]:
    """Set tags."""
    tags = {one.key: one.value for one in asked.tags}
    return {"model": _change(app, asked.model_id, lambda row: row._replace(tags=row.tags | tags))}


@endpoint("DELETE logged-models/{model_id}/tags/{tag_key}", needs="run.write")
def delete_tag(app: App, asked: OneTag) -> None:
    """Remove a tag."""

    def without(row: ModelRow) -> ModelRow:
        if asked.tag_key not in row.tags:
            raise NothingThereError(
                f"No tag with key {asked.tag_key!r} found for model with ID {asked.model_id!r}."
            )
        return row._replace(tags={key: value for key, value in row.tags.items() if key != asked.tag_key})

    _change(app, asked.model_id, without)


@endpoint("POST logged-models/search", needs="run.read")
def search(app: App, asked: Search) -> dict[str, Any]:
    """Return a page of the logged models of some experiments."""
    limit = within(asked.max_results, most=1000, default=100)
    clauses = parse(asked.filter)
    with app.kernel.catalog.read() as connection:
        rows = queries.models_of(connection, names_of(app, asked.experiment_ids))
    chosen = [row for row in rows if all(_fits(row, one, asked.datasets) for one in clauses)]
    for order in reversed(asked.order_by):
        chosen = _sorted(chosen, order)
    found, token = page(chosen, limit=limit, token=asked.page_token)
    groups = {row.experiment_id: _experiment(app, row) for row in found}
    answer: dict[str, Any] = {"models": [as_document(row, groups[row.experiment_id]) for row in found]}
    return answer | ({"next_page_token": token} if token else {})


@endpoint("GET logged-models/{model_id}/artifacts/directories", needs="run.read")
def list_folder(app: App, asked: Folder) -> dict[str, Any]:
    """Return what lies in a folder of a logged model."""
    row = find(app, asked.model_id)
    experiment = _experiment(app, row)
    folder = places.clean(asked.artifact_directory_path)
    start = f"{number_of(experiment)}/models/{row.id}/artifacts"
    listed = places.list_folder(places.below(app, f"{start}/{folder}" if folder else start))
    found, token = page(listed, limit=1000, token=asked.page_token)
    files = [places.as_document(one, f"{folder}/" if folder else "") for one in found]
    answer: dict[str, Any] = {"root_uri": _place(row, experiment), "files": files}
    return answer | ({"next_page_token": token} if token else {})


def find(app: App, model_id: str, *, locks: bool = False) -> ModelRow:
    """Return a logged model; in a write transaction `locks` keeps other writers of it out until the commit.

    Raises:
        NothingThereError: there is none.
    """
    required(model_id, "model_id")
    with app.kernel.catalog.read() as connection:
        row = queries.model_named(connection, model_id, locks=locks)
    if row is None:
        raise NothingThereError(f"Logged model with ID '{model_id}' not found.")
    return row


def as_document(row: ModelRow, experiment: ExperimentRow) -> dict[str, Any]:
    """Return a logged model as MLflow writes it."""
    info = {
        "model_id": row.id,
        "experiment_id": number_of(experiment),
        "name": row.name,
        "creation_timestamp_ms": milliseconds(row.created_at),
        "last_updated_timestamp_ms": milliseconds(row.updated_at),
        "artifact_uri": _place(row, experiment),
        "status": row.status,
        "model_type": row.kind,
        "source_run_id": row.run,
        "status_message": row.status_message,
        "tags": _pairs(row.tags),
    }
    return {
        "info": {key: value for key, value in info.items() if value != ""},
        "data": {"params": _pairs(row.params), "metrics": row.metrics},
    }


def _place(row: ModelRow, experiment: ExperimentRow) -> str:
    return f"{place_of(experiment)}/models/{row.id}/artifacts"


def _pairs(values: dict[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in values.items()]


def _experiment(app: App, row: ModelRow) -> ExperimentRow:
    with app.kernel.catalog.read() as connection:
        found = queries.experiment_by_id(connection, row.experiment_id)
    assert found is not None  # noqa: S101 - experiments are never removed
    return found


def _change(app: App, model_id: str, change: Any) -> dict[str, Any]:  # noqa: ANN401 - a function of a row
    now = app.kernel.clock.now()
    with app.kernel.catalog.transaction() as connection:
        row: ModelRow = change(find(app, model_id, locks=True))._replace(updated_at=now)
        queries.put_model(connection, row)
    return as_document(row, _experiment(app, row))


def _fits(row: ModelRow, clause: Clause, datasets: list[Dataset]) -> bool:
    if clause.kind == "metric":
        return any(holds(clause, value) for value in _metrics(row, clause.key, datasets))
    return holds(clause, _value(row, clause.kind, clause.key))


def _metrics(row: ModelRow, key: str, datasets: list[Dataset]) -> list[float]:
    asked = [(one.dataset_name, one.dataset_digest) for one in datasets]
    return [
        float(one.value)
        for one in row.metrics
        if one.key == key
        and (
            not asked
            or any(one.dataset_name == name and digest in ("", one.dataset_digest) for name, digest in asked)
        )
    ]


def _value(row: ModelRow, kind: str, key: str) -> str | float | None:
    if kind == "param":
        return row.params.get(key)
    if kind == "tag":
        return row.tags.get(key)
    known: dict[str, str | float | None] = {
        "name": row.name,
        "model_id": row.id,
        "model_type": row.kind,
        "status": row.status.removeprefix("LOGGED_MODEL_"),
        "source_run_id": row.run,
        "experiment_id": row.experiment_id,
        "creation_timestamp": milliseconds(row.created_at),
        "creation_time": milliseconds(row.created_at),
        "last_updated_timestamp": milliseconds(row.updated_at),
    }
    if key not in known:
        raise BadParameterError(f"Invalid attribute key '{key}'. Valid keys are {', '.join(known)}.")
    return known[key]


def _sorted(rows: list[ModelRow], order: OrderBy) -> list[ModelRow]:
    kind, _, key = order.field_name.partition(".")
    datasets = [Dataset(order.dataset_name, order.dataset_digest)] if order.dataset_name else []

    def value(row: ModelRow) -> Any:  # noqa: ANN401 - comparable with its like
        if kind in ("metric", "metrics"):
            found = _metrics(row, key.strip('`"'), datasets)
            return found[-1] if found else None
        if kind in ("param", "params"):
            return row.params.get(key)
        return _value(row, "attribute", key or kind)

    known = [row for row in rows if value(row) is not None]
    return sorted(known, key=value, reverse=not order.ascending) + [row for row in rows if value(row) is None]
