"""Endpoints of traces: what a program did inside one request, its tags and what people and judges said of it.

Spans are kept as the artifact traces.json of the trace, where clients write and read them; `/v1/traces` (OTLP) does not exist here.
Tests: tests/unit/mlflow_api/test_traces.py, tests/integration/mlflow.
"""

from __future__ import annotations

import re
import secrets
from datetime import datetime
from typing import Any

import msgspec

from everloop.app import App
from everloop.core.clock import to_microseconds
from everloop.mlflow_api import queries
from everloop.mlflow_api.endpoints import endpoint, required
from everloop.mlflow_api.errors import BadParameterError, NothingThereError, UnknownEndpointError
from everloop.mlflow_api.experiments import look_up, names_of, place_of
from everloop.mlflow_api.filters import choose
from everloop.mlflow_api.pages import page, within
from everloop.mlflow_api.queries import TraceRow

_PLACE = "mlflow.artifactLocation"
_ID = re.compile(r"[\w-]{1,100}")
# Words that stand where an id may: calls of spans kept in a database, which clients do without.
_OTHER_CALLS = frozenset({"get", "batchGet"})


class Started(msgspec.Struct):
    """A trace as its client tells it, at its end."""

    trace: dict[str, Any] = {}


class ById(msgspec.Struct):
    """A trace by id."""

    trace_id: str = ""


class Several(msgspec.Struct):
    """Traces by id."""

    trace_ids: list[str] = []


class Tagged(msgspec.Struct):
    """A tag to set, or to remove."""

    trace_id: str = ""
    key: str = ""
    value: str = ""


class Deleted(msgspec.Struct):
    """Which traces of an experiment to delete: by id, or the oldest up to a time."""

    experiment_id: str = ""
    max_timestamp_millis: int | None = None
    max_traces: int | None = None
    request_ids: list[str] = []


class Search(msgspec.Struct):
    """A search for traces."""

    locations: list[dict[str, Any]] = []
    filter: str = ""
    max_results: int | None = None
    order_by: list[str] = []
    page_token: str = ""


class Assessed(msgspec.Struct):
    """An assessment to add, or what to change of one."""

    trace_id: str = ""
    assessment_id: str = ""
    assessment: dict[str, Any] = {}
    update_mask: str = ""


@endpoint("3.0 POST traces", needs="run.write")
def start(app: App, asked: Started) -> dict[str, Any]:
    """Keep a trace."""
    info = asked.trace.get("trace_info") or {}
    trace_id = str(info.get("trace_id", ""))
    if not _ID.fullmatch(trace_id):
        raise BadParameterError(f"Invalid trace id '{trace_id[:100]}'.")
    place = info.get("trace_location") or {}
    experiment = look_up(app, str((place.get("mlflow_experiment") or {}).get("experiment_id", "")))
    if experiment.deleted_at is not None:
        raise BadParameterError(
            "The experiment of a trace must be in the 'active' state. Current state is deleted."
        )
    try:
        began = msgspec.convert(info.get("request_time"), datetime)
    except msgspec.ValidationError as error:
        raise BadParameterError(f"Invalid request_time of a trace: {error}") from error
    location = f"{place_of(experiment)}/traces/{trace_id}/artifacts"
    tags = {str(key): str(value) for key, value in (info.get("tags") or {}).items()}
    row = TraceRow(
        id=trace_id,
        experiment_id=experiment.id,
        requested_at=to_microseconds(began),
        info={key: value for key, value in info.items() if key not in ("tags", "assessments")},
        tags=tags | {_PLACE: location},
        assessments=[_completed(app, trace_id, one) for one in info.get("assessments") or []],
    )
    with app.kernel.catalog.transaction() as connection:
        queries.put_trace(connection, row)
    return {"trace": {"trace_info": as_document(row)}}


@endpoint("3.0 GET traces/{trace_id}", needs="run.read")
def get(app: App, asked: ById) -> dict[str, Any]:
    """Return what is known of a trace."""
    if asked.trace_id in _OTHER_CALLS:
        raise UnknownEndpointError(
            f"Everloop has no endpoint traces/{asked.trace_id}: spans are artifacts of their traces."
        )
    return {"trace": {"trace_info": as_document(find(app, asked.trace_id))}}


@endpoint("3.0 GET traces/batchGetInfos", needs="run.read")
def get_several(app: App, asked: Several) -> dict[str, Any]:
    """Return what is known of some traces; those that are not there are left out."""
    with app.kernel.catalog.read() as connection:
        found = [queries.trace_named(connection, one) for one in asked.trace_ids]
    return {"trace_infos": [as_document(row) for row in found if row is not None]}


@endpoint("3.0 POST traces/search", needs="run.read")
def search(app: App, asked: Search) -> dict[str, Any]:
    """Return a page of the traces of some experiments, newest first where no order is asked."""
    limit = within(asked.max_results, most=500, default=100)
    numbers = [str((one.get("mlflow_experiment") or {}).get("experiment_id", "")) for one in asked.locations]
    with app.kernel.catalog.read() as connection:
        rows = queries.traces_of(connection, names_of(app, numbers))
    found, token = page(
        choose(rows, asked.filter, asked.order_by, _value), limit=limit, token=asked.page_token
    )
    answer: dict[str, Any] = {"traces": [as_document(row) for row in found]}
    return answer | ({"next_page_token": token} if token else {})


@endpoint("PATCH traces/{trace_id}/tags", needs="run.write")
def set_tag(app: App, asked: Tagged) -> None:
    """Set a tag."""
    required(asked.key, "key")
    with app.kernel.catalog.transaction() as connection:
        row = find(app, asked.trace_id, locks=True)
        queries.put_trace(connection, row._replace(tags=row.tags | {asked.key: asked.value}))


@endpoint("DELETE traces/{trace_id}/tags", needs="run.write")
def delete_tag(app: App, asked: Tagged) -> None:
    """Remove a tag."""
    with app.kernel.catalog.transaction() as connection:
        row = find(app, asked.trace_id, locks=True)
        if asked.key not in row.tags:
            raise NothingThereError(
                f"No trace tag with key '{asked.key}' for trace with ID '{asked.trace_id}'"
            )
        kept = {key: value for key, value in row.tags.items() if key != asked.key}
        queries.put_trace(connection, row._replace(tags=kept))


@endpoint("POST traces/delete-traces", needs="run.delete")
def delete(app: App, asked: Deleted) -> dict[str, int]:
    """Delete traces of an experiment; return how many there were."""
    experiment = look_up(app, asked.experiment_id)
    if bool(asked.request_ids) == (asked.max_timestamp_millis is not None):
        raise BadParameterError(
            "Either `max_timestamp_millis` or `request_ids` must be specified, but not both."
        )
    with app.kernel.catalog.transaction() as connection:
        rows = queries.traces_of(connection, [experiment.name])
        if asked.request_ids:
            gone = [row.id for row in rows if row.id in set(asked.request_ids)]
        else:
            until = (asked.max_timestamp_millis or 0) * 1000 + 999
            gone = [row.id for row in reversed(rows) if row.requested_at <= until][: asked.max_traces]
        queries.remove_traces(connection, gone)
    return {"traces_deleted": len(gone)}


@endpoint("3.0 POST traces/{trace_id}/assessments", needs="run.write")
def assess(app: App, asked: Assessed) -> dict[str, Any]:
    """Add feedback or an expectation; one that overrides another makes that invalid."""
    with app.kernel.catalog.transaction() as connection:
        row = find(app, asked.trace_id, locks=True)
        made = _completed(app, row.id, asked.assessment)
        others = [
            one | {"valid": False} if one["assessment_id"] == made.get("overrides") else one
            for one in row.assessments
        ]
        queries.put_trace(connection, row._replace(assessments=[*others, made]))
    return {"assessment": made}


@endpoint("3.0 GET traces/{trace_id}/assessments/{assessment_id}", needs="run.read")
def get_assessment(app: App, asked: Assessed) -> dict[str, Any]:
    """Return an assessment."""
    return {"assessment": _assessment(find(app, asked.trace_id), asked.assessment_id)}


@endpoint("3.0 PATCH traces/{trace_id}/assessments/{assessment_id}", needs="run.write")
def change_assessment(app: App, asked: Assessed) -> dict[str, Any]:
    """Change the parts of an assessment that the mask names."""
    # A mask of protobuf's JSON is one text: names with commas between, in camel case.
    names = {re.sub(r"([A-Z])", r"_\1", one).lower() for one in asked.update_mask.split(",") if one}
    with app.kernel.catalog.transaction() as connection:
        row = find(app, asked.trace_id, locks=True)
        before = _assessment(row, asked.assessment_id)
        change = {key: value for key, value in asked.assessment.items() if key in names}
        after = before | change | {"last_update_time": app.kernel.clock.now().isoformat()}
        kept = [after if one["assessment_id"] == asked.assessment_id else one for one in row.assessments]
        queries.put_trace(connection, row._replace(assessments=kept))
    return {"assessment": after}


@endpoint("3.0 DELETE traces/{trace_id}/assessments/{assessment_id}", needs="run.write")
def delete_assessment(app: App, asked: Assessed) -> None:
    """Remove an assessment; one that it overrode is valid again."""
    with app.kernel.catalog.transaction() as connection:
        row = find(app, asked.trace_id, locks=True)
        gone = _assessment(row, asked.assessment_id)
        kept = [
            one | {"valid": True} if one["assessment_id"] == gone.get("overrides") else one
            for one in row.assessments
            if one is not gone
        ]
        queries.put_trace(connection, row._replace(assessments=kept))


def find(app: App, trace_id: str, *, locks: bool = False) -> TraceRow:
    """Return a trace; in a write transaction `locks` keeps other writers of it out until the commit.

    Raises:
        NothingThereError: there is none.
    """
    required(trace_id, "trace_id")
    with app.kernel.catalog.read() as connection:
        row = queries.trace_named(connection, trace_id, locks=locks)
    if row is None:
        raise NothingThereError(f"Trace with ID '{trace_id}' not found.")
    return row


def as_document(row: TraceRow) -> dict[str, Any]:
    """Return what is known of a trace as MLflow writes it."""
    return {**row.info, "tags": row.tags, "assessments": row.assessments}


def _assessment(row: TraceRow, assessment_id: str) -> dict[str, Any]:
    for one in row.assessments:
        if one["assessment_id"] == assessment_id:
            return one
    raise NothingThereError(f"Assessment with ID '{assessment_id}' not found for trace '{row.id}'")


def _completed(app: App, trace_id: str, given: dict[str, Any]) -> dict[str, Any]:
    required(given.get("assessment_name"), "assessment_name")
    now = app.kernel.clock.now().isoformat()
    made = {"create_time": now, "last_update_time": now, "valid": True, **given, "trace_id": trace_id}
    return made | {"assessment_id": given.get("assessment_id") or f"a-{secrets.token_hex(16)}"}


def _value(row: TraceRow, kind: str, key: str) -> str | float | None:
    metadata = row.info.get("trace_metadata") or {}
    if kind == "tag":
        return row.tags.get(key)
    if kind == "metadata":
        value: str | None = metadata.get(key)
        return value
    known: dict[str, str | float | None] = {
        "timestamp_ms": row.requested_at // 1000,
        "timestamp": row.requested_at // 1000,
        "execution_time_ms": _milliseconds(row.info.get("execution_duration")),
        "execution_time": _milliseconds(row.info.get("execution_duration")),
        "status": row.info.get("state"),
        "name": row.tags.get("mlflow.traceName"),
        "run_id": metadata.get("mlflow.sourceRun"),
        "request_id": row.id,
        "trace_id": row.id,
    }
    if kind != "attribute" or key not in known:
        raise BadParameterError(
            f"Invalid trace attribute '{key}'. Valid keys are {', '.join(known)}, and tags and metadata."
        )
    return known[key]


def _milliseconds(duration: object) -> float | None:
    """Return a duration of protobuf's JSON, 0.032s, in milliseconds."""
    try:
        return float(str(duration).removesuffix("s")) * 1000
    except ValueError:
        return None
