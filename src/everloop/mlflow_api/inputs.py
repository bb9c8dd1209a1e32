"""Endpoints for what a run read and made: datasets and models. Tests: tests/unit/mlflow_api/test_runs.py, tests/integration/mlflow."""

from __future__ import annotations

from typing import Any

import msgspec

from everloop.app import App
from everloop.mlflow_api import queries
from everloop.mlflow_api.endpoints import Tag, endpoint, required
from everloop.mlflow_api.experiments import names_of, number_of
from everloop.mlflow_api.runs import active, id_of
from everloop.tracking.naming import check_names
from everloop.tracking.records import DatasetInput as Known


class Dataset(msgspec.Struct, omit_defaults=True):
    """A dataset as its client describes it."""

    name: str = ""
    digest: str = ""
    source_type: str = ""
    source: str = ""
    schema: str = ""
    profile: str = ""


class DatasetInput(msgspec.Struct):
    """A dataset that a run read, with what it was for."""

    tags: list[Tag] = []
    dataset: Dataset = msgspec.field(default_factory=Dataset)


class ModelInput(msgspec.Struct):
    """A model that a run read."""

    model_id: str = ""


class Inputs(msgspec.Struct):
    """What a run read."""

    run_id: str = ""
    datasets: list[DatasetInput] = []
    models: list[ModelInput] = []


class ModelOutput(msgspec.Struct):
    """A model that a run made at a step."""

    model_id: str = ""
    step: int = 0


class Outputs(msgspec.Struct):
    """What a run made."""

    run_id: str = ""
    models: list[ModelOutput] = []


class Search(msgspec.Struct):
    """A search for datasets."""

    experiment_ids: list[str] = []


@endpoint("POST runs/log-inputs", needs="run.write")
def log_inputs(app: App, asked: Inputs) -> None:
    """Note what a run read."""
    run_id = id_of(asked)
    for one in asked.datasets:
        required(one.dataset.name, "dataset.name")
        required(one.dataset.digest, "dataset.digest")
    check_names([one.dataset.name for one in asked.datasets])
    with app.kernel.catalog.transaction() as connection:
        row = active(connection, run_id)
        rows = [
            _row(row.number, "dataset", one.dataset.name, one.dataset.digest, msgspec.to_builtins(one))
            for one in asked.datasets
        ]
        rows += [
            _row(row.number, "model", one.model_id, "", {"model_id": one.model_id}) for one in asked.models
        ]
        queries.put_inputs(connection, rows)
        known = [
            Known(
                name=one.dataset.name,
                ref=f"{one.dataset.name}@{one.dataset.digest}",
                digest=one.dataset.digest,
            )
            for one in asked.datasets
        ]
        app.tracking.log_batch(run_id, inputs=known)


@endpoint("POST runs/outputs", needs="run.write")
def log_outputs(app: App, asked: Outputs) -> None:
    """Note which models a run made."""
    run_id = id_of(asked)
    with app.kernel.catalog.transaction() as connection:
        row = active(connection, run_id)
        rows = [
            _row(row.number, "output", one.model_id, str(one.step), msgspec.to_builtins(one))
            for one in asked.models
        ]
        queries.put_inputs(connection, rows)


@endpoint("POST experiments/search-datasets", needs="run.read")
def search_datasets(app: App, asked: Search) -> dict[str, Any]:
    """Return the datasets that runs of some experiments read."""
    names = names_of(app, asked.experiment_ids)
    with app.kernel.catalog.read() as connection:
        wanted = {row.id: number_of(row) for row in queries.experiment_numbers(connection, names).values()}
        rows = queries.dataset_inputs(connection)
    found = {}
    for row in rows:
        if row.experiment_id in wanted:
            tags = {tag["key"]: tag["value"] for tag in row.document.get("tags", [])}
            key = (wanted[row.experiment_id], row.name, row.digest, tags.get("mlflow.data.context", ""))
            found[key] = dict(zip(("experiment_id", "name", "digest", "context"), key, strict=True))
    return {"dataset_summaries": list(found.values())}


def _row(number: int, kind: str, name: str, digest: str, document: Any) -> dict[str, object]:  # noqa: ANN401 - JSON
    return {"run": number, "kind": kind, "name": name, "digest": digest, "document": document}
