"""Runs as an Arrow table. Tests: tests/unit/tracking/search/test_searching.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from everloop.tracking.search.language import parse_field
from everloop.tracking.search.tree import Field

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from everloop.tracking.records import Run


def as_table(runs: Sequence[Run], columns: Sequence[str] | None) -> pa.Table:
    """Return one row a run; a param whose runs hold values of several kinds becomes text.

    Args:
        runs: to show.
        columns: fields beside those of each run; all of theirs by default.
    """
    found: dict[str, pa.Array[Any]] = {
        "id": pa.array([run.id for run in runs], pa.string()),
        "name": pa.array([run.name for run in runs], pa.string()),
        "experiment": pa.array([run.experiment for run in runs], pa.string()),
        "status": pa.array([run.status for run in runs], pa.string()),
        "created_at": pa.array([run.created_at for run in runs], pa.timestamp("us", "UTC")),
        "ended_at": pa.array([run.ended_at for run in runs], pa.timestamp("us", "UTC")),
    }
    fields = _all_fields(runs) if columns is None else [parse_field(one) for one in columns]
    for field in fields:
        found.setdefault(str(field), _array([_getter(field)(run) for run in runs]))
    return pa.table(found)


def _all_fields(runs: Sequence[Run]) -> list[Field]:
    params = sorted({name for run in runs for name in run.params})
    tags = sorted({name for run in runs for name in run.tags})
    metrics = sorted({metric.name for run in runs for metric in run.metrics})
    return [
        *(Field("param", name) for name in params),
        *(Field("tag", name) for name in tags),
        *(Field("metric", name) for name in metrics),
    ]


def _getter(field: Field) -> Callable[[Run], object]:
    match field.kind:
        case "param":
            return lambda run: run.params.get(field.name)
        case "tag":
            return lambda run: run.tags.get(field.name)
        case "input":
            return lambda run: next((one.ref for one in run.inputs if one.name == field.name), None)
        case "metric":
            return lambda run: _metric(run, field)
    return lambda run: getattr(run, field.name, None)


def _metric(run: Run, field: Field) -> float | None:
    metric = next((one for one in run.metrics if one.name == field.name), None)
    if metric is None:
        return None
    figures = {
        "min": metric.least,
        "max": metric.greatest,
        "count": float(metric.count),
        "step": metric.step,
        "time": metric.time.timestamp(),
        "value": float(metric.mark or "nan") if metric.value is None else metric.value,
    }
    return figures[field.aspect]


def _array(values: list[object]) -> pa.Array[Any]:
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} and len(kinds) > 1:
        return pa.array([None if value is None else float(value) for value in values], pa.float64())  # type: ignore[arg-type] # numbers
    if len(kinds) > 1:
        return pa.array([None if value is None else str(value) for value in values], pa.string())
    return pa.array(values)
