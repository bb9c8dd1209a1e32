"""Endpoints that read the points of metrics. Tests: tests/unit/mlflow_api/test_values.py, tests/integration/mlflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from everloop.app import App
from everloop.mlflow_api.endpoints import endpoint, required
from everloop.mlflow_api.errors import BadParameterError
from everloop.mlflow_api.pages import page, within
from everloop.mlflow_api.runs import id_of, missing
from everloop.mlflow_api.texts import number_of
from everloop.tracking import queries as tracking

if TYPE_CHECKING:
    from everloop.tracking.series.columns import Columns

MOST_RUNS = 100


class Asked(msgspec.Struct):
    """A metric of a run."""

    run_id: str = ""
    run_uuid: str = ""
    metric_key: str = ""
    page_token: str = ""
    max_results: int | None = None


class Interval(msgspec.Struct):
    """A metric of some runs between two steps."""

    run_ids: list[str] = []
    metric_key: str = ""
    start_step: int | None = None
    end_step: int | None = None
    max_results: int | None = None


class Many(msgspec.Struct):
    """A metric of some runs, all of it."""

    run_id: list[str] = []
    metric_key: str = ""
    max_results: int | None = None


class Value(msgspec.Struct):
    """A point as MLflow writes it."""

    key: str
    value: float | str
    timestamp: int
    step: int
    run_id: str


@endpoint("GET metrics/get-history", needs="run.read")
def get_history(app: App, asked: Asked) -> dict[str, Any]:
    """Return all points of a metric in the order of time, step and value; in pages where a number is given."""
    run_id = id_of(asked)
    required(asked.metric_key, "metric_key")
    limit = None if asked.max_results is None else within(asked.max_results, most=25_000_000, default=1)
    points = _points(run_id, asked.metric_key, _by_time(_series(app, run_id, asked.metric_key)))
    if limit is None:
        return {"metrics": points}
    found, token = page(points, limit=limit, token=asked.page_token)
    return {"metrics": found} | ({"next_page_token": token} if token else {})


@endpoint("GET metrics/get-history-bulk", needs="run.read")
def get_history_bulk(app: App, asked: Many) -> dict[str, Any]:
    """Return the points of a metric of up to 100 runs, at most `max_results` in all."""
    limit = within(asked.max_results, most=25_000, default=25_000)
    _check_runs(asked.run_id, asked.metric_key, "run_id")
    found: list[Value] = []
    for run_id in asked.run_id:
        if len(found) >= limit:
            break
        columns = _by_time(_series(app, run_id, asked.metric_key))
        found += _points(run_id, asked.metric_key, columns.part(0, limit - len(found)))
    return {"metrics": found}


@endpoint("GET metrics/get-history-bulk-interval", needs="run.read")
def get_interval(app: App, asked: Interval) -> dict[str, Any]:
    """Return points of a metric for a chart: of each run at most about `max_results`, extremes among them."""
    limit = within(asked.max_results, most=2_500, default=320)
    _check_runs(asked.run_ids, asked.metric_key, "run_ids")
    low, high = asked.start_step, asked.end_step
    if (low is None) != (high is None):
        raise BadParameterError("If either start step or end step are specified, both must be specified.")
    if low is not None and high is not None and low > high:
        raise BadParameterError(
            f"end_step must be greater than start_step. Found start_step={low} and end_step={high}."
        )
    found: list[Value] = []
    for run_id in asked.run_ids:
        columns = _series(app, run_id, asked.metric_key)
        if low is not None and high is not None:
            inside = (columns.steps >= low) & (columns.steps <= high)
            columns = _picked(columns, np.flatnonzero(inside))
        found += _points(run_id, asked.metric_key, _thinned(columns, limit))
    return {"metrics": found}


def _check_runs(run_ids: list[str], key: str, name: str) -> None:
    if not run_ids:
        raise BadParameterError(f"Missing value for required parameter '{name}'.")
    if len(run_ids) > MOST_RUNS:
        raise BadParameterError(f"{name} may name at most {MOST_RUNS} runs, not {len(run_ids)}.")
    required(key, "metric_key")


def _series(app: App, run_id: str, key: str) -> Columns:
    with app.kernel.catalog.read() as connection:
        if not tracking.exists(connection, run_id):
            raise missing(run_id)
    return app.tracking.series(run_id, key)


def _by_time(columns: Columns) -> Columns:
    return _picked(columns, np.lexsort((columns.values, columns.steps, columns.times)))


def _picked(columns: Columns, places: Any) -> Columns:  # noqa: ANN401 - an array of places
    return type(columns)(*(column[places] for column in columns))


def _thinned(columns: Columns, limit: int) -> Columns:
    """Return the points with the least and the greatest value of each of limit / 2 stretches, the first and the last."""
    count = len(columns.steps)
    if count <= limit:
        return columns
    borders = np.linspace(0, count, max(limit // 2, 2), dtype=np.int64)
    kept = {0, count - 1}
    for start, end in zip(borders[:-1].tolist(), borders[1:].tolist(), strict=True):
        part = np.nan_to_num(columns.values[start:end], nan=0.0)
        kept |= {start + int(part.argmin()), start + int(part.argmax())}
    return _picked(columns, np.array(sorted(kept)))


def _points(run_id: str, key: str, columns: Columns) -> list[Value]:
    times = (columns.times // 1000).tolist()
    steps = columns.steps.astype(np.int64).tolist()
    values = columns.values.tolist()
    if np.isfinite(columns.values).all():
        return [
            Value(key, value, time, step, run_id)
            for value, time, step in zip(values, times, steps, strict=True)
        ]
    return [
        Value(key, number_of(value), time, step, run_id)
        for value, time, step in zip(values, times, steps, strict=True)
    ]
