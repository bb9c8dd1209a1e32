"""Endpoints of model versions. A version is a folder of objects of its own, so it loads when its run is long gone.

What is registered is taken from artifacts that are kept here: of a run, a logged model or another version. A path of the server or an
address elsewhere is refused, and nothing is ever fetched. Tests: tests/unit/mlflow_api/test_registry.py, tests/integration/mlflow.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from everloop.app import App
from everloop.core.digests import canonical_json
from everloop.core.ids import new_id
from everloop.mlflow_api import logged_models, places, queries
from everloop.mlflow_api.endpoints import Tag, endpoint, required
from everloop.mlflow_api.errors import BadParameterError, NothingThereError
from everloop.mlflow_api.experiments import milliseconds, number_of
from everloop.mlflow_api.filters import Clause, holds, parse, sort
from everloop.mlflow_api.pages import page, within
from everloop.registry.model import SIGNATURE
from everloop.registry.naming import ModelNotFoundError
from everloop.registry.records import ModelVersion, Output, Signature

if TYPE_CHECKING:
    from collections.abc import Mapping

STAGES = ("None", "Staging", "Production", "Archived")
PROMPT = "mlflow.prompt.is_prompt"
# What only the protocol knows of a version is kept among its tags, and not shown there.
_HIDDEN = "everloop.mlflow_"
_STAGE, _SOURCE, _MODEL, _LINK = (_HIDDEN + name for name in ("stage", "source", "model_id", "run_link"))
_MODELS = re.compile(r"models:/([^/@]+)(?:/(\d+)|@([^/]+))?/?")
_OWN = frozenset({"everloop.json", SIGNATURE})


class Created(msgspec.Struct):
    """What a version is made of."""

    name: str = ""
    source: str = ""
    run_id: str = ""
    run_link: str = ""
    description: str = ""
    model_id: str = ""
    tags: list[Tag] = []


class ByNumber(msgspec.Struct):
    """A version by number."""

    name: str = ""
    version: str | int = ""


class Described(msgspec.Struct):
    """A new description."""

    name: str = ""
    version: str | int = ""
    description: str = ""


class Tagged(msgspec.Struct):
    """A tag to set, or to remove."""

    name: str = ""
    version: str | int = ""
    key: str = ""
    value: str = ""


class Moved(msgspec.Struct):
    """A stage to move to."""

    name: str = ""
    version: str | int = ""
    stage: str = ""
    archive_existing_versions: bool = False


class Search(msgspec.Struct):
    """A search for versions."""

    filter: str = ""
    max_results: int | None = None
    order_by: list[str] = []
    page_token: str = ""


@endpoint("POST model-versions/create", needs="model.register")
def create(app: App, asked: Created) -> dict[str, Any]:
    """Make the next version of a registered model from artifacts that are kept here."""
    required(asked.name, "name")
    required(asked.source, "source")
    with app.kernel.catalog.read() as connection:
        if not queries.registered_models(connection, asked.name):
            raise NothingThereError(f"Registered Model with name={asked.name} not found")
    tags = {one.key: one.value for one in asked.tags}
    files = {} if tags.get(PROMPT) == "true" else _files(app, asked)
    run = asked.run_id
    if asked.model_id:
        run = run or logged_models.find(app, asked.model_id).run
    kept = {_SOURCE: asked.source, _MODEL: asked.model_id, _LINK: asked.run_link}
    made = app.registry.create_version(
        asked.name,
        digest=_manifest(app, files),
        run=run,
        note=asked.description,
        tags=tags | {key: value for key, value in kept.items() if value},
    )
    return {"model_version": as_document(made, {})}


@endpoint("GET model-versions/get", needs="model.read")
def get(app: App, asked: ByNumber) -> dict[str, Any]:
    """Return a version."""
    return _told(app, find(app, asked.name, asked.version))


@endpoint("PATCH model-versions/update", needs="model.tag")
def update(app: App, asked: Described) -> dict[str, Any]:
    """Describe a version."""
    found = find(app, asked.name, asked.version)
    return _told(app, app.registry.edit_version(found.model, found.version, note=asked.description))


@endpoint("DELETE model-versions/delete", needs="model.delete")
def delete(app: App, asked: ByNumber) -> None:
    """Delete a version; its number is not given again."""
    found = find(app, asked.name, asked.version)
    app.registry.delete_version(found.model, found.version)


@endpoint("GET model-versions/search", "POST model-versions/search", needs="model.read")
def search(app: App, asked: Search) -> dict[str, Any]:
    """Return a page of versions of all models; those of prompts only where the filter asks for them."""
    limit = within(asked.max_results, most=200_000, default=10_000)
    clauses = parse(asked.filter)
    asks_prompts = any(one.kind == "tag" and one.key == PROMPT for one in clauses)
    with app.kernel.catalog.read() as connection:
        versions = queries.model_versions(connection, _named(clauses))
        aliases = queries.aliases(connection)
    chosen = [
        one
        for one in versions
        if all(holds(clause, _value(one, clause.kind, clause.key)) for clause in clauses)
        and (asks_prompts or one.tags.get(PROMPT) != "true")
    ]
    orders = [*asked.order_by] or ["last_updated_timestamp DESC", "name ASC", "version_number DESC"]
    found, token = page(sort(chosen, orders, _value), limit=limit, token=asked.page_token)
    documents = [as_document(one, aliases.get(one.model, {})) for one in found]
    answer: dict[str, Any] = {"model_versions": documents}
    return answer | ({"next_page_token": token} if token else {})


@endpoint("GET model-versions/get-download-uri", needs="model.read")
def get_download_uri(app: App, asked: ByNumber) -> dict[str, str]:
    """Return where a version's files are read."""
    found = find(app, asked.name, asked.version)
    return {"artifact_uri": f"mlflow-artifacts:/{places.REGISTRY}/{found.model}/{found.version}"}


@endpoint("POST model-versions/transition-stage", needs="model.alias")
def transition(app: App, asked: Moved) -> dict[str, Any]:
    """Move a version to a stage, and the others out of it where that is asked."""
    found = find(app, asked.name, asked.version)
    stage = next((one for one in STAGES if one.lower() == asked.stage.lower()), None)
    if stage is None:
        raise BadParameterError(
            f"Invalid Model Version stage: {asked.stage}. Value must be one of {', '.join(STAGES)}."
        )
    if asked.archive_existing_versions and stage not in ("Staging", "Production"):
        raise BadParameterError(
            f"Model version transition cannot archive existing model versions because '{stage}' is not an Active stage."
        )
    with app.kernel.catalog.transaction():
        if asked.archive_existing_versions:
            for one in app.registry.versions(found.model, limit=100_000):
                if stage_of(one) == stage and one.version != found.version:
                    app.registry.edit_version(one.model, one.version, tags={_STAGE: "Archived"})
        return _told(app, app.registry.edit_version(found.model, found.version, tags={_STAGE: stage}))


@endpoint("POST model-versions/set-tag", needs="model.tag")
def set_tag(app: App, asked: Tagged) -> None:
    """Set a tag."""
    _check_key(asked.key)
    found = find(app, asked.name, asked.version)
    app.registry.edit_version(found.model, found.version, tags={asked.key: asked.value})


@endpoint("DELETE model-versions/delete-tag", needs="model.tag")
def delete_tag(app: App, asked: Tagged) -> None:
    """Remove a tag; one that is not there is no error."""
    _check_key(asked.key)
    found = find(app, asked.name, asked.version)
    app.registry.edit_version(found.model, found.version, remove_tags=[asked.key])


def find(app: App, name: str, version: str | int) -> ModelVersion:
    """Return a version.

    Raises:
        NothingThereError: there is none.
    """
    required(name, "name")
    required(version, "version")
    try:
        return app.registry.find(name, str(number_from(version)))
    except ModelNotFoundError as error:
        raise NothingThereError(f"Model Version (name={name}, version={version}) not found") from error


def number_from(version: str | int) -> int:
    """Return a version's number.

    Raises:
        BadParameterError: it is none.
    """
    text = str(version)
    if not text.isascii() or not text.isdecimal() or len(text) > len("1000000000"):
        raise BadParameterError(f"Model version must be an integer, got '{version}'")
    return int(text)


def stage_of(version: ModelVersion) -> str:
    """Return the stage of a version."""
    return version.tags.get(_STAGE, "None")


def as_document(found: ModelVersion, aliases: Mapping[str, int]) -> dict[str, Any]:
    """Return a version as MLflow writes it.

    Args:
        found: the version.
        aliases: of its model.
    """
    document = {
        "name": found.model,
        "version": str(found.version),
        "creation_timestamp": milliseconds(found.created_at),
        "last_updated_timestamp": milliseconds(found.updated_at or found.created_at),
        "user_id": found.author.partition(":")[2],
        "current_stage": stage_of(found),
        "description": found.note,
        "source": found.tags.get(_SOURCE)
        or f"mlflow-artifacts:/{places.REGISTRY}/{found.model}/{found.version}",
        "run_id": found.run,
        "status": "READY",
        "tags": [
            {"key": key, "value": value} for key, value in found.tags.items() if not key.startswith(_HIDDEN)
        ],
        "run_link": found.tags.get(_LINK, ""),
        "aliases": sorted(alias for alias, number in aliases.items() if number == found.version),
        "model_id": found.tags.get(_MODEL, ""),
    }
    return {key: value for key, value in document.items() if value != ""}


def _told(app: App, found: ModelVersion) -> dict[str, Any]:
    with app.kernel.catalog.read() as connection:
        aliases = queries.aliases(connection, found.model)
    return {"model_version": as_document(found, aliases.get(found.model, {}))}


def _files(app: App, asked: Created) -> dict[str, str]:
    """Return path and digest of what a source names.

    Raises:
        BadParameterError: it names nothing that is kept here.
    """
    source = asked.source
    if asked.model_id:
        return _below(app, _folder_of_model(app, asked.model_id))
    if source.startswith("runs:/"):
        run_id, _, path = source.removeprefix("runs:/").partition("/")
        return _below(app, "/".join(part for part in (_folder_of_run(app, run_id), path) if part))
    if source.startswith("mlflow-artifacts:/"):
        rest = source.removeprefix("mlflow-artifacts:/")
        # An address may name the server; whatever it names, the artifacts are looked for here.
        return _below(app, rest.removeprefix("/").partition("/")[2] if rest.startswith("/") else rest)
    match = _MODELS.fullmatch(source)
    if match is not None:
        name, number, alias = match.groups()
        if number is None and alias is None:
            return _below(app, _folder_of_model(app, name))
        other = app.registry.find(name, number or alias)
        return {path: digest for path, digest in other.files.items() if path not in _OWN}
    raise BadParameterError(
        f"Invalid model version source: '{source[:200]}'. A version is made of artifacts that are kept here: runs:/RUN/PATH, "
        "models:/MODEL_ID, models:/NAME/VERSION, or the mlflow-artifacts:/ address of one of those."
    )


def _below(app: App, folder: str) -> dict[str, str]:
    return {one.path: one.digest for one in places.below(app, places.clean(folder)) if one.path}


def _folder_of_model(app: App, model_id: str) -> str:
    row = logged_models.find(app, model_id)
    with app.kernel.catalog.read() as connection:
        experiment = queries.experiment_by_id(connection, row.experiment_id)
    assert experiment is not None  # noqa: S101 - experiments are never removed
    return f"{number_of(experiment)}/models/{row.id}/artifacts"


def _folder_of_run(app: App, run_id: str) -> str:
    with app.kernel.catalog.read() as connection:
        experiment = queries.experiment_of_run(connection, run_id)
    if experiment is None:
        raise NothingThereError(f"Run with id={run_id} not found")
    return f"{number_of(experiment)}/{run_id}/artifacts"


def _manifest(app: App, files: dict[str, str]) -> str:
    """Store the manifest of a version; each registration is a version of its own, as MLflow's clients expect, with shared files."""
    head = canonical_json({"flavor": "mlflow", "format": 1, "registration": new_id()})
    signature = msgspec.json.encode(Signature(inputs=[], output=Output(kind="value", target="")))
    digests = app.kernel.objects.put_many([head, signature])
    own = dict(zip(("everloop.json", SIGNATURE), digests, strict=True))
    return app.kernel.objects.put(canonical_json({**files, **own}))


def _check_key(key: str) -> None:
    required(key, "key")
    if key.startswith(_HIDDEN):
        raise BadParameterError(f"Tags that begin with '{_HIDDEN}' are kept for the server.")


def _named(clauses: list[Clause]) -> str:
    names = [one.value for one in clauses if (one.kind, one.key, one.operator) == ("attribute", "name", "=")]
    return str(names[0]) if names else ""


def _value(found: ModelVersion, kind: str, key: str) -> str | float | None:
    if kind == "tag":
        return None if key.startswith(_HIDDEN) else found.tags.get(key)
    known: dict[str, str | float | None] = {
        "name": found.model,
        "run_id": found.run,
        "source_path": found.tags.get(_SOURCE, ""),
        "version_number": found.version,
        "version": found.version,
        "model_id": found.tags.get(_MODEL),
        "creation_timestamp": milliseconds(found.created_at),
        "last_updated_timestamp": milliseconds(found.updated_at or found.created_at),
    }
    if kind != "attribute" or key not in known:
        raise BadParameterError(f"Invalid attribute name: {key}. Valid keys are {', '.join(known)}.")
    return known[key]
