"""Endpoints of experiments. Ours have a number and a name; `default` is MLflow's number 0, Default.

Tests: tests/unit/mlflow_api/test_experiments.py, tests/integration/mlflow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from everloop.app import App
from everloop.core.clock import to_microseconds
from everloop.mlflow_api import queries
from everloop.mlflow_api.endpoints import Tag, endpoint, required
from everloop.mlflow_api.errors import AlreadyThereError, BadParameterError, NothingThereError
from everloop.mlflow_api.filters import choose
from everloop.mlflow_api.pages import page, within
from everloop.tracking import queries as tracking
from everloop.tracking.tables import experiment as experiments

if TYPE_CHECKING:
    from datetime import datetime

    import sqlalchemy as sa

    from everloop.mlflow_api.queries import ExperimentRow

OURS, NAME, NUMBER = "default", "Default", "0"
# A place for artifacts that the client chose is kept as a tag, which is not shown among the others.
_MOST_DIGITS = 18
_PLACE = "everloop.mlflow_artifact_location"


class Created(msgspec.Struct):
    """What an experiment is made of."""

    name: str = ""
    artifact_location: str = ""
    tags: list[Tag] = []


class ById(msgspec.Struct):
    """An experiment by number."""

    experiment_id: str = ""


class ByName(msgspec.Struct):
    """An experiment by name."""

    experiment_name: str = ""


class Renamed(msgspec.Struct):
    """A new name."""

    experiment_id: str = ""
    new_name: str = ""


class Tagged(msgspec.Struct):
    """A tag to set, or to remove."""

    experiment_id: str = ""
    key: str = ""
    value: str = ""


class Search(msgspec.Struct):
    """A search for experiments."""

    max_results: int | None = None
    page_token: str = ""
    filter: str = ""
    order_by: list[str] = []
    view_type: str = "ACTIVE_ONLY"


@endpoint("POST experiments/create", needs="run.write")
def create(app: App, asked: Created) -> dict[str, str]:
    """Make an experiment."""
    required(asked.name, "name")
    if asked.name in (OURS, NAME):
        raise AlreadyThereError(f"Experiment(name={asked.name}) already exists.")
    tags = {tag.key: tag.value for tag in asked.tags}
    if asked.artifact_location:
        tags[_PLACE] = asked.artifact_location
    made = app.tracking.create_experiment(asked.name, tags=tags)
    return {"experiment_id": str(made.id)}


@endpoint("GET experiments/get", needs="run.read")
def get(app: App, asked: ById) -> dict[str, Any]:
    """Return an experiment by number."""
    return {"experiment": as_document(look_up(app, asked.experiment_id))}


@endpoint("GET experiments/get-by-name", needs="run.read")
def get_by_name(app: App, asked: ByName) -> dict[str, Any]:
    """Return an experiment by name."""
    required(asked.experiment_name, "experiment_name")
    if asked.experiment_name in (OURS, NAME):
        return {"experiment": as_document(look_up(app, NUMBER))}
    with app.kernel.catalog.read() as connection:
        row = queries.experiment_by_name(connection, asked.experiment_name)
    if row is None:
        raise NothingThereError(f"Could not find experiment with name '{asked.experiment_name}'")
    return {"experiment": as_document(row)}


@endpoint("POST experiments/search", "GET experiments/search", needs="run.read")
def search(app: App, asked: Search) -> dict[str, Any]:
    """Return a page of experiments."""
    limit = within(asked.max_results, most=50_000, default=1000)
    with app.kernel.catalog.read() as connection:
        rows = queries.experiments(connection)
    if not any(row.name == OURS for row in rows):
        rows.append(look_up(app, NUMBER))
    seen = [row for row in rows if is_in_view(row.deleted_at, asked.view_type)]
    orders = asked.order_by or ["creation_time DESC", "experiment_id DESC"]
    found, token = page(choose(seen, asked.filter, orders, _value), limit=limit, token=asked.page_token)
    answer: dict[str, Any] = {"experiments": [as_document(row) for row in found]}
    return answer | ({"next_page_token": token} if token else {})


@endpoint("POST experiments/update", needs="run.write")
def update(app: App, asked: Renamed) -> None:
    """Rename an experiment."""
    row = _active(app, asked.experiment_id)
    required(asked.new_name, "new_name")
    if row.name == OURS or asked.new_name in (OURS, NAME):
        raise BadParameterError("The experiment Default keeps its name. Create another one and log to that.")
    app.tracking.edit_experiment(row.name, name=asked.new_name)


@endpoint("POST experiments/delete", needs="run.delete")
def delete(app: App, asked: ById) -> None:
    """Put an experiment and its runs into the trash."""
    app.tracking.delete_experiment(_active(app, asked.experiment_id).name)


@endpoint("POST experiments/restore", needs="run.delete")
def restore(app: App, asked: ById) -> None:
    """Take an experiment out of the trash."""
    row = look_up(app, asked.experiment_id)
    if row.deleted_at is None:
        raise NothingThereError(f"No deleted Experiment with id={asked.experiment_id} exists")
    app.tracking.restore_experiment(row.name)


@endpoint("POST experiments/set-experiment-tag", needs="run.write")
def set_tag(app: App, asked: Tagged) -> None:
    """Set a tag."""
    row = _unfrozen(app, asked.experiment_id)
    required(asked.key, "key")
    app.tracking.edit_experiment(row.name, tags={asked.key: asked.value})


@endpoint("POST experiments/delete-experiment-tag", needs="run.write")
def delete_tag(app: App, asked: Tagged) -> None:
    """Remove a tag."""
    row = _unfrozen(app, asked.experiment_id)
    if asked.key not in row.tags:
        raise NothingThereError(f"No tag with name: {asked.key} in experiment with id {asked.experiment_id}")
    app.tracking.edit_experiment(row.name, remove_tags=[asked.key])


def look_up(app: App, number: str) -> ExperimentRow:
    """Return the experiment of a number as MLflow counts; number 0 is made when it is missing.

    Raises:
        NothingThereError: there is none.
    """
    required(number, "experiment_id")
    with app.kernel.catalog.read() as connection:
        row = _by_number(connection, number)
    if row is None and number == NUMBER:
        with app.kernel.catalog.transaction() as connection:
            tracking.experiment_id(connection, OURS, app.kernel.clock.now())
            row = queries.experiment_by_name(connection, OURS)
    if row is None:
        raise NothingThereError(f"No Experiment with id={number} exists")
    return row


def _by_number(connection: sa.Connection, number: str) -> ExperimentRow | None:
    if number == NUMBER:
        return queries.experiment_by_name(connection, OURS)
    if not _is_number(number):
        return None
    row = queries.experiment_by_id(connection, int(number))
    return None if row is None or row.name == OURS else row


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS


def names_of(app: App, numbers: list[str]) -> list[str]:
    """Return our names of those experiments that exist."""
    wanted = [int(one) for one in numbers if _is_number(one)]
    with app.kernel.catalog.read() as connection:
        rows = queries.experiments(connection, experiments.c.id.in_(wanted), experiments.c.name != OURS)
    return [row.name for row in rows] + ([OURS] if NUMBER in numbers else [])


def number_of(row: ExperimentRow) -> str:
    """Return an experiment's number as MLflow counts."""
    return NUMBER if row.name == OURS else str(row.id)


def place_of(row: ExperimentRow) -> str:
    """Return where the artifacts of an experiment lie."""
    return row.tags.get(_PLACE) or f"mlflow-artifacts:/{number_of(row)}"


def is_in_view(deleted_at: datetime | None, view: str) -> bool:
    """Say whether a view (ACTIVE_ONLY, DELETED_ONLY, ALL) shows what was deleted then.

    Raises:
        BadParameterError: there is no such view.
    """
    name = {"": "ACTIVE_ONLY", "1": "ACTIVE_ONLY", "2": "DELETED_ONLY", "3": "ALL"}.get(view, view)
    if name not in ("ACTIVE_ONLY", "DELETED_ONLY", "ALL"):
        raise BadParameterError(
            f"Invalid view type '{view}'. Valid values are ACTIVE_ONLY, DELETED_ONLY and ALL."
        )
    return name == "ALL" or (deleted_at is not None) == (name == "DELETED_ONLY")


def milliseconds(time: datetime) -> int:
    """Return a time in milliseconds since 1970."""
    return to_microseconds(time) // 1000


def as_document(row: ExperimentRow) -> dict[str, Any]:
    """Return an experiment as MLflow writes it."""
    return {
        "experiment_id": number_of(row),
        "name": NAME if row.name == OURS else row.name,
        "artifact_location": place_of(row),
        "lifecycle_stage": "active" if row.deleted_at is None else "deleted",
        "creation_time": milliseconds(row.created_at),
        "last_update_time": milliseconds(row.updated_at),
        "tags": [{"key": key, "value": value} for key, value in row.tags.items() if key != _PLACE],
    }


def _active(app: App, number: str) -> ExperimentRow:
    row = look_up(app, number)
    if row.deleted_at is not None:
        raise NothingThereError(f"No active Experiment with id={number} exists")
    return row


def _unfrozen(app: App, number: str) -> ExperimentRow:
    row = look_up(app, number)
    if row.deleted_at is not None:
        raise BadParameterError(
            f"The experiment {number} must be in the 'active' state. Current state is deleted."
        )
    return row


def _value(row: ExperimentRow, kind: str, key: str) -> str | float | None:
    if kind == "tag":
        return row.tags.get(key)
    match kind, key:
        case "attribute", "name":
            return NAME if row.name == OURS else row.name
        case "attribute", "creation_time":
            return milliseconds(row.created_at)
        case "attribute", "last_update_time":
            return milliseconds(row.updated_at)
        case "attribute", "experiment_id":
            return row.id
    raise BadParameterError(
        f"Invalid attribute key '{key}'. Valid keys are name, creation_time, last_update_time, experiment_id."
    )
