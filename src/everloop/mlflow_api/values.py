"""Endpoints that bring values to runs: metrics, params, tags, batches. A batch is one transaction.

Tests: tests/unit/mlflow_api/test_values.py, tests/integration/mlflow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from everloop.app import App
from everloop.mlflow_api import queries
from everloop.mlflow_api.endpoints import Tag, endpoint, required
from everloop.mlflow_api.errors import BadParameterError, NothingThereError
from everloop.mlflow_api.runs import NOTE, RUN_NAME, active, id_of
from everloop.mlflow_api.tables import ModelMetric
from everloop.mlflow_api.texts import number_of, text_of
from everloop.tracking import queries as tracking
from everloop.tracking.naming import check_names, check_texts
from everloop.tracking.plain import plain_of
from everloop.tracking.series.columns import pack

if TYPE_CHECKING:
    from collections.abc import Sequence

    import sqlalchemy as sa

    from everloop.tracking.queries import RunRow
    from everloop.tracking.series.columns import PointColumns

# Milliseconds become microseconds in 64 bits; steps become doubles.
_LATEST = (1 << 63) // 1000 - 1


class OneMetric(msgspec.Struct):
    """A value of a metric."""

    run_id: str = ""
    run_uuid: str = ""
    key: str = ""
    value: float | None = None
    timestamp: int | None = None
    step: int = 0
    model_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


class OneText(msgspec.Struct):
    """A param or a tag."""

    run_id: str = ""
    run_uuid: str = ""
    key: str = ""
    value: str = ""


class Batch(msgspec.Struct):
    """Values of all kinds for one run."""

    run_id: str = ""
    metrics: list[OneMetric] = []
    params: list[Tag] = []
    tags: list[Tag] = []


class LoggedModel(msgspec.Struct):
    """What older clients say of a model they logged."""

    run_id: str = ""
    model_json: str = ""


@endpoint("POST runs/log-metric", needs="run.write")
def log_metric(app: App, asked: OneMetric) -> None:
    """Add a value."""
    run_id = id_of(asked)
    _check_metrics([asked])
    if asked.timestamp is None:
        raise BadParameterError("Missing value for required parameter 'timestamp'.")
    with app.kernel.catalog.transaction() as connection:
        row = active(connection, run_id)
        app.tracking.apply(connection, row, series=_series([asked]))
        keep_metrics(connection, run_id, [asked])


@endpoint("POST runs/log-parameter", needs="run.write")
def log_param(app: App, asked: OneText) -> None:
    """Set a param once."""
    run_id = id_of(asked)
    _log_texts(app, run_id, params={_named(asked.key): asked.value})


@endpoint("POST runs/set-tag", needs="run.write")
def set_tag(app: App, asked: OneText) -> None:
    """Set a tag."""
    run_id = id_of(asked)
    _log_texts(app, run_id, tags={_named(asked.key): asked.value})


@endpoint("POST runs/delete-tag", needs="run.write")
def delete_tag(app: App, asked: OneText) -> None:
    """Remove a tag."""
    run_id = id_of(asked)
    with app.kernel.catalog.transaction() as connection:
        row = active(connection, run_id)
        if not tracking.remove_tags(connection, row.number, [asked.key]):
            raise NothingThereError(f"No tag with name: {asked.key} in run with id {run_id}")
        app.tracking.edit_run(run_id, note="" if asked.key == NOTE else None, remove_tags=[asked.key])


@endpoint("POST runs/log-batch", needs="run.write")
def log_batch(app: App, asked: Batch) -> None:
    """Add values of all kinds: all of them, or none."""
    required(asked.run_id, "run_id")
    _check_metrics(asked.metrics)
    params = _once(asked.params)
    tags = {_named(tag.key): tag.value for tag in asked.tags}
    with app.kernel.catalog.transaction() as connection:
        _log_texts(app, asked.run_id, params=params, tags=tags, series=_series(asked.metrics))
        keep_metrics(connection, asked.run_id, asked.metrics)


@endpoint("POST runs/log-model", needs="run.write")
def log_model(app: App, asked: LoggedModel) -> None:
    """Note a model in the run's tag of models."""
    run_id = id_of(asked)
    try:
        model = msgspec.json.decode(asked.model_json, type=dict[str, object])
    except msgspec.DecodeError as error:
        raise BadParameterError(f"Malformed model info: it is not valid JSON: {error}") from error
    if lacking := [
        name for name in ("artifact_path", "flavors", "utc_time_created", "run_id") if name not in model
    ]:
        raise BadParameterError(f"Model json is missing mandatory fields: {', '.join(lacking)}")
    history = "mlflow.log-model.history"
    with app.kernel.catalog.transaction() as connection:
        row = active(connection, run_id)
        [run] = tracking.read_runs(connection, [row.number])
        before = msgspec.json.decode(run.tags.get(history, "[]"), type=list[object])
        app.tracking.apply(connection, row, tags={history: msgspec.json.encode([*before, model]).decode()})


def _log_texts(
    app: App,
    run_id: str,
    *,
    params: dict[str, str] | None = None,
    tags: dict[str, str] | None = None,
    series: Sequence[PointColumns] = (),
) -> None:
    plain = {key: plain_of(text) for key, text in (params or {}).items()}
    check_names([*(one.name for one in series), *plain, *(tags or {})])
    check_texts({**plain, **(tags or {})})
    with app.kernel.catalog.transaction() as connection:
        row = active(connection, run_id)
        if params:
            _refuse_changed(connection, row, run_id, params)
        app.tracking.apply(connection, row, series=series, params=plain, tags=tags)
        _follow_tags(connection, row, tags or {})


def _follow_tags(connection: sa.Connection, row: RunRow, tags: dict[str, str]) -> None:
    """Let the name and the note of a run follow the tags that stand for them."""
    change = {field: tags[key] for key, field in ((RUN_NAME, "name"), (NOTE, "note")) if key in tags}
    if change:
        tracking.change_run(connection, row.number, **change)


def _refuse_changed(connection: sa.Connection, row: RunRow, run_id: str, params: dict[str, str]) -> None:
    """Refuse another value for a param that has one."""
    known = queries.params_named(connection, row.number, list(params))
    for key, value in known.items():
        old = text_of(value)
        if old != params[key]:
            raise BadParameterError(
                f"Changing param values is not allowed. Param with key='{key}' was already logged with value='{old[:500]}' "
                f"for run ID='{run_id}'. Attempted logging new value '{params[key][:500]}'."
            )


def keep_metrics(connection: sa.Connection, run_id: str, metrics: list[OneMetric]) -> None:
    """Note the values that belong to logged models, too: of each metric and dataset the one of the greatest step and time."""
    by_model: dict[str, list[OneMetric]] = {}
    for one in metrics:
        if one.model_id:
            by_model.setdefault(one.model_id, []).append(one)
    for model_id, several in by_model.items():
        row = queries.model_named(connection, model_id, locks=True)
        if row is None:
            raise NothingThereError(f"Logged model with ID '{model_id}' not found.")
        latest = {(one.key, one.dataset_name, one.dataset_digest): one for one in row.metrics}
        for one in several:
            new = ModelMetric(
                key=one.key,
                value=number_of(one.value or 0.0),
                timestamp=one.timestamp or 0,
                step=one.step,
                model_id=model_id,
                run_id=run_id,
                dataset_name=one.dataset_name,
                dataset_digest=one.dataset_digest,
            )
            key = (one.key, one.dataset_name, one.dataset_digest)
            old = latest.setdefault(key, new)
            if (new.step, new.timestamp) >= (old.step, old.timestamp):
                latest[key] = new
        queries.put_model(connection, row._replace(metrics=list(latest.values())))


def _once(params: list[Tag]) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in params:
        if found.setdefault(_named(one.key), one.value) != one.value:
            raise BadParameterError(
                f"Duplicate parameter keys have been submitted: '{one.key}' with the values '{found[one.key][:500]}' "
                f"and '{one.value[:500]}'. A param has one value."
            )
    return found


def _check_metrics(metrics: list[OneMetric]) -> None:
    for one in metrics:
        _named(one.key)
        if one.value is None:
            raise BadParameterError(f"Missing value for required parameter 'value' of metric '{one.key}'.")
        if not -_LATEST <= (one.timestamp or 0) <= _LATEST:
            raise BadParameterError(f"Invalid timestamp {one.timestamp} of metric '{one.key}'.")
    check_names([one.key for one in metrics])


def _named(key: str) -> str:
    required(key, "key")
    return key


def _series(metrics: list[OneMetric]) -> list[PointColumns]:
    found: dict[str, tuple[list[float], list[int], list[float]]] = {}
    for one in metrics:
        steps, times, values = found.setdefault(one.key, ([], [], []))
        steps.append(one.step)
        times.append((one.timestamp or 0) * 1000)
        values.append(one.value)  # type: ignore[arg-type] # checked before
    return [pack(name, *columns) for name, columns in found.items()]
