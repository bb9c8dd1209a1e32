"""Endpoints of registered models: our models, with aliases, notes and tags.

Tests: tests/unit/mlflow_api/test_registry.py, tests/integration/mlflow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from everloop.app import App
from everloop.mlflow_api import queries
from everloop.mlflow_api.endpoints import Tag, endpoint, required
from everloop.mlflow_api.errors import AlreadyThereError, BadParameterError, NothingThereError
from everloop.mlflow_api.experiments import milliseconds
from everloop.mlflow_api.filters import Clause, holds, orders, parse, sort
from everloop.mlflow_api.model_versions import as_document as as_version
from everloop.mlflow_api.model_versions import number_from, stage_of
from everloop.mlflow_api.pages import page, within
from everloop.registry.naming import VERSION, ModelExistsError

if TYPE_CHECKING:
    from everloop.registry.records import ModelVersion, RegisteredModel

PROMPT = "mlflow.prompt.is_prompt"


class Created(msgspec.Struct):
    """What a registered model is made of."""

    name: str = ""
    description: str = ""
    tags: list[Tag] = []


class ByName(msgspec.Struct):
    """A registered model by name."""

    name: str = ""


class Renamed(msgspec.Struct):
    """A new name."""

    name: str = ""
    new_name: str = ""


class Described(msgspec.Struct):
    """A new description."""

    name: str = ""
    description: str = ""


class Tagged(msgspec.Struct):
    """A tag to set, or to remove."""

    name: str = ""
    key: str = ""
    value: str = ""


class Aliased(msgspec.Struct):
    """An alias, with the version it is to stand on."""

    name: str = ""
    alias: str = ""
    version: str | int = ""


class Latest(msgspec.Struct):
    """The newest version of each stage."""

    name: str = ""
    stages: list[str] = []


class Search(msgspec.Struct):
    """A search for registered models."""

    filter: str = ""
    max_results: int | None = None
    order_by: list[str] = []
    page_token: str = ""


@endpoint("POST registered-models/create", needs="model.register")
def create(app: App, asked: Created) -> dict[str, Any]:
    """Make a registered model."""
    required(asked.name, "name")
    tags = {one.key: one.value for one in asked.tags}
    try:
        made = app.registry.create_model(asked.name, note=asked.description, tags=tags)
    except ModelExistsError as error:
        raise AlreadyThereError(f"Registered Model (name={asked.name}) already exists.") from error
    return {"registered_model": as_document(made, [])}


@endpoint("GET registered-models/get", needs="model.read")
def get(app: App, asked: ByName) -> dict[str, Any]:
    """Return a registered model with its newest versions."""
    found = find(app, asked.name)
    return {"registered_model": as_document(found, app.registry.versions(found.name, limit=1000))}


@endpoint("POST registered-models/rename", needs="model.tag")
def rename(app: App, asked: Renamed) -> dict[str, Any]:
    """Give a registered model another name."""
    required(asked.new_name, "new_name")
    find(app, asked.name)
    try:
        changed = app.registry.edit_model(asked.name, name=asked.new_name)
    except ModelExistsError as error:
        raise AlreadyThereError(f"Registered Model (name={asked.new_name}) already exists.") from error
    return {"registered_model": as_document(changed, app.registry.versions(changed.name, limit=1000))}


@endpoint("PATCH registered-models/update", needs="model.tag")
def update(app: App, asked: Described) -> dict[str, Any]:
    """Describe a registered model."""
    find(app, asked.name)
    changed = app.registry.edit_model(asked.name, note=asked.description)
    return {"registered_model": as_document(changed, app.registry.versions(changed.name, limit=1000))}


@endpoint("DELETE registered-models/delete", needs="model.delete")
def delete(app: App, asked: ByName) -> None:
    """Delete a registered model with its versions."""
    find(app, asked.name)
    app.registry.delete_model(asked.name)


@endpoint("GET registered-models/search", "POST registered-models/search", needs="model.read")
def search(app: App, asked: Search) -> dict[str, Any]:
    """Return a page of registered models; prompts only where the filter asks for them."""
    limit = within(asked.max_results, most=1000, default=100)
    clauses = parse(asked.filter)
    if not any(one.kind == "tag" and one.key == PROMPT for one in clauses):
        clauses.append(Clause("tag", PROMPT, "!=", "true"))
    with app.kernel.catalog.read() as connection:
        models = queries.registered_models(connection)
    chosen = [one for one in models if all(_fits(one, clause) for clause in clauses)]
    orders(asked.order_by)
    found, token = page(
        sort(chosen, [*asked.order_by] or ["name ASC"], _value), limit=limit, token=asked.page_token
    )
    documents = [as_document(one, app.registry.versions(one.name, limit=1000)) for one in found]
    answer: dict[str, Any] = {"registered_models": documents}
    return answer | ({"next_page_token": token} if token else {})


@endpoint(
    "GET registered-models/get-latest-versions",
    "POST registered-models/get-latest-versions",
    needs="model.read",
)
def get_latest(app: App, asked: Latest) -> dict[str, Any]:
    """Return the newest version of each stage."""
    found = find(app, asked.name)
    wanted = [one.lower() for one in asked.stages]
    newest = [
        one
        for one in _newest(app.registry.versions(found.name, limit=1000))
        if not wanted or stage_of(one).lower() in wanted
    ]
    return {"model_versions": [as_version(one, found.aliases) for one in newest]}


@endpoint("POST registered-models/set-tag", needs="model.tag")
def set_tag(app: App, asked: Tagged) -> None:
    """Set a tag."""
    required(asked.key, "key")
    find(app, asked.name)
    app.registry.edit_model(asked.name, tags={asked.key: asked.value})


@endpoint("DELETE registered-models/delete-tag", needs="model.tag")
def delete_tag(app: App, asked: Tagged) -> None:
    """Remove a tag; one that is not there is no error."""
    required(asked.key, "key")
    find(app, asked.name)
    app.registry.edit_model(asked.name, remove_tags=[asked.key])


@endpoint("POST registered-models/alias", needs="model.alias")
def set_alias(app: App, asked: Aliased) -> None:
    """Move an alias to a version."""
    find(app, asked.name)
    _check_alias(asked.alias)
    app.registry.set_alias(
        asked.name, asked.alias, version=number_from(asked.version), reason="MLflow's client"
    )


@endpoint("DELETE registered-models/alias", needs="model.alias")
def delete_alias(app: App, asked: Aliased) -> None:
    """Take an alias away."""
    find(app, asked.name)
    _check_alias(asked.alias)
    app.registry.drop_alias(asked.name, asked.alias, reason="MLflow's client")


@endpoint("GET registered-models/alias", needs="model.read")
def get_by_alias(app: App, asked: Aliased) -> dict[str, Any]:
    """Return the version that an alias stands on."""
    found = find(app, asked.name)
    required(asked.alias, "alias")
    number = found.aliases.get(asked.alias)
    if number is None:
        raise BadParameterError(f"Registered model alias {asked.alias} not found.")
    return {"model_version": as_version(app.registry.find(found.name, str(number)), found.aliases)}


def find(app: App, name: str) -> RegisteredModel:
    """Return a registered model.

    Raises:
        NothingThereError: there is none.
    """
    required(name, "name")
    with app.kernel.catalog.read() as connection:
        found = queries.registered_models(connection, name)
    if not found:
        raise NothingThereError(f"Registered Model with name={name} not found")
    return found[0]


def as_document(found: RegisteredModel, versions: list[ModelVersion]) -> dict[str, Any]:
    """Return a registered model as MLflow writes it."""
    document: dict[str, Any] = {
        "name": found.name,
        "creation_timestamp": milliseconds(found.created_at),
        "last_updated_timestamp": milliseconds(found.updated_at or found.created_at),
        "latest_versions": [as_version(one, found.aliases) for one in _newest(versions)],
        "tags": [{"key": key, "value": value} for key, value in found.tags.items()],
        "aliases": [
            {"alias": alias, "version": str(number)} for alias, number in sorted(found.aliases.items())
        ],
    }
    return document | ({"description": found.note} if found.note else {})


def _newest(versions: list[ModelVersion]) -> list[ModelVersion]:
    """Return the newest version of each stage; `versions` is newest first."""
    found: dict[str, ModelVersion] = {}
    for one in versions:
        found.setdefault(stage_of(one), one)
    return list(found.values())


def _fits(found: RegisteredModel, clause: Clause) -> bool:
    if clause == Clause("tag", PROMPT, "!=", "true"):
        return found.tags.get(PROMPT) != "true"
    return holds(clause, _value(found, clause.kind, clause.key))


def _value(found: RegisteredModel, kind: str, key: str) -> str | float | None:
    if kind == "tag":
        return found.tags.get(key)
    match kind, key:
        case "attribute", "name":
            return found.name
        case "attribute", "creation_timestamp" | "creation_time" | "timestamp":
            return milliseconds(found.created_at)
        case "attribute", "last_updated_timestamp":
            return milliseconds(found.updated_at or found.created_at)
    raise BadParameterError(
        f"Invalid attribute name: {key}. Valid keys are name, creation_timestamp, last_updated_timestamp."
    )


def _check_alias(alias: str) -> None:
    required(alias, "alias")
    if alias.lower() == "latest" or VERSION.fullmatch(alias.lower()):
        raise BadParameterError(
            f"The alias '{alias}' is reserved: 'latest' and v1, v2 stand for versions already."
        )
