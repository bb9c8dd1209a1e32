"""Endpoints of runs: make, read, change, find. Tests: tests/unit/mlflow_api/test_runs.py, tests/integration/mlflow."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import msgspec

from everloop.app import App
from everloop.core.clock import from_microseconds
from everloop.core.ids import new_id
from everloop.mlflow_api import queries
from everloop.mlflow_api.endpoints import Tag, endpoint, required
from everloop.mlflow_api.errors import BadParameterError, NothingThereError
from everloop.mlflow_api.experiments import is_in_view, look_up, milliseconds, names_of, number_of, place_of
from everloop.mlflow_api.filters import as_tree, holds, parse, run_orders
from everloop.mlflow_api.pages import within
from everloop.mlflow_api.texts import number_of as number_text
from everloop.mlflow_api.texts import text_of
from everloop.tracking import queries as tracking
from everloop.tracking.records import Capture
from everloop.tracking.search.tree import All, Comparison, Field

if TYPE_CHECKING:
    import builtins
    from datetime import datetime

    import sqlalchemy as sa

    from everloop.mlflow_api.filters import Clause
    from everloop.mlflow_api.queries import ExperimentRow
    from everloop.tracking.queries import RunRow
    from everloop.tracking.records import Metric, Run
    from everloop.tracking.search.tree import Tree

RUN_NAME, NOTE, PARENT = "mlflow.runName", "mlflow.note.content", "mlflow.parentRunId"
_STATES = {
    "RUNNING": "running",
    "SCHEDULED": "running",
    "FINISHED": "finished",
    "FAILED": "failed",
    "KILLED": "killed",
}
_NUMBERS = {"1": "RUNNING", "2": "SCHEDULED", "3": "FINISHED", "4": "FAILED", "5": "KILLED"}
_LONGEST_TIME = 1 << 50
_WORDS = [
    "amber",
    "bold",
    "brisk",
    "calm",
    "clever",
    "crisp",
    "dapper",
    "eager",
    "fair",
    "fleet",
    "gentle",
    "glad",
    "grand",
    "happy",
    "keen",
    "kind",
    "lively",
    "lucky",
    "merry",
    "mild",
    "nimble",
    "noble",
    "proud",
    "quick",
    "quiet",
    "rare",
    "serene",
    "sharp",
    "sleek",
    "smart",
    "spry",
    "sunny",
    "swift",
    "tidy",
    "upbeat",
    "vivid",
    "warm",
    "wise",
    "witty",
    "zesty",
]
_ANIMALS = [
    "ant",
    "bat",
    "bear",
    "bee",
    "bird",
    "boar",
    "cat",
    "colt",
    "crab",
    "crane",
    "crow",
    "deer",
    "dove",
    "duck",
    "eel",
    "elk",
    "finch",
    "fish",
    "fox",
    "frog",
    "gnat",
    "goat",
    "goose",
    "gull",
    "hare",
    "hawk",
    "hen",
    "horse",
    "jay",
    "kite",
    "koi",
    "lamb",
    "lark",
    "lynx",
    "mink",
    "mole",
    "moose",
    "moth",
    "mouse",
    "newt",
    "owl",
    "ox",
    "panda",
    "perch",
    "pig",
    "quail",
    "ram",
    "ray",
    "rook",
    "seal",
    "shad",
    "shrew",
    "skunk",
    "slug",
    "snail",
    "sow",
    "stag",
    "stork",
    "swan",
    "tern",
    "toad",
    "trout",
    "vole",
    "wasp",
    "whale",
    "wolf",
    "wren",
    "yak",
]


class Created(msgspec.Struct):
    """What a run is made of."""

    experiment_id: str = ""
    user_id: str = ""
    run_name: str = ""
    start_time: int | None = None
    tags: list[Tag] = []


class ById(msgspec.Struct):
    """A run by id, by either of its names."""

    run_id: str = ""
    run_uuid: str = ""


class Changed(msgspec.Struct):
    """What changes of a run."""

    run_id: str = ""
    run_uuid: str = ""
    status: str | int | None = None
    end_time: int | None = None
    run_name: str | None = None


class Search(msgspec.Struct):
    """A search for runs."""

    experiment_ids: list[str] = []
    filter: str = ""
    run_view_type: str = "ACTIVE_ONLY"
    max_results: int | None = None
    order_by: list[str] = []
    page_token: str = ""


@endpoint("POST runs/create", needs="run.write")
def create(app: App, asked: Created) -> dict[str, Any]:
    """Make a run."""
    row = look_up(app, asked.experiment_id or "0")
    if row.deleted_at is not None:
        raise BadParameterError(
            f"The experiment {number_of(row)} must be in the 'active' state. Current state is deleted."
        )
    tags = {tag.key: tag.value for tag in asked.tags}
    name = _name(asked.run_name, tags)
    tags[RUN_NAME] = name
    if asked.user_id and "mlflow.user" not in tags:
        tags["mlflow.user"] = asked.user_id
    with app.kernel.catalog.transaction() as connection:
        parent = tags.get(PARENT, "")
        made = app.tracking.create_run(
            id=new_id().replace("-", ""),
            experiment=row.name,
            name=name,
            tags=tags,
            capture=Capture(
                commit=tags.get("mlflow.source.git.commit", ""), script=tags.get("mlflow.source.name", "")
            ),
            parent=parent if parent and tracking.exists(connection, parent) else "",
            started_at=_time(asked.start_time, "start_time"),
            note=tags.get(NOTE, ""),
        )
    return {"run": as_document(made, row, [])}


@endpoint("GET runs/get", needs="run.read")
def get(app: App, asked: ById) -> dict[str, Any]:
    """Return a run with all it has."""
    run_id = id_of(asked)
    with app.kernel.catalog.read() as connection:
        run = tracking.read_run(connection, run_id)
        if run is None:
            raise missing(run_id)
        row = queries.experiment_of_run(connection, run_id)
        assert row is not None  # noqa: S101 - a run has an experiment
        inputs = queries.inputs_of(connection, [run_id])
    return {"run": as_document(run, row, inputs.get(run_id, []))}


@endpoint("POST runs/update", needs="run.write")
def update(app: App, asked: Changed) -> dict[str, Any]:
    """Change state, end and name of a run."""
    run_id = id_of(asked)
    state = _state(asked.status)
    ended_at = _time(asked.end_time, "end_time")
    with app.kernel.catalog.transaction() as connection:
        row = active(connection, run_id)
        if asked.run_name:
            app.tracking.edit_run(run_id, name=asked.run_name, tags={RUN_NAME: asked.run_name})
        if state == "running" and row.status != "running":
            app.tracking.create_run(id=run_id)  # a run that exists goes on
        elif state is not None and state != "running":
            app.tracking.finish_run(run_id, status=state, ended_at=ended_at)  # type: ignore[arg-type] # one of its states
        run = tracking.read_runs(connection, [row.number])[0]
        experiment = queries.experiment_of_run(connection, run_id)
        assert experiment is not None  # noqa: S101 - a run has an experiment
    return {"run_info": _info(run, experiment)}


@endpoint("POST runs/delete", needs="run.delete")
def delete(app: App, asked: ById) -> None:
    """Put a run into the trash."""
    app.tracking.delete_run(_there(app, id_of(asked)))


@endpoint("POST runs/restore", needs="run.delete")
def restore(app: App, asked: ById) -> None:
    """Take a run out of the trash."""
    app.tracking.restore_run(_there(app, id_of(asked)))


@endpoint("POST runs/search", needs="run.read")
def search(app: App, asked: Search) -> dict[str, Any]:
    """Return a page of the runs of some experiments."""
    limit = within(asked.max_results, most=50_000, default=1000)
    is_in_view(None, asked.run_view_type)
    names = names_of(app, asked.experiment_ids)
    clauses = parse(asked.filter)
    parts: list[Tree] = [Comparison(Field("run", "experiment"), "in", tuple(names))]
    parts += [as_tree(one) for one in clauses if one.kind != "dataset"]
    if datasets := [one for one in clauses if one.kind == "dataset"]:
        parts.append(Comparison(Field("run", "id"), "in", _that_read(app, datasets)))
    deleted = {"DELETED_ONLY": True, "2": True, "ALL": None, "3": None}.get(asked.run_view_type, False)
    found = app.tracking.find_page(
        All(tuple(parts)), run_orders(asked.order_by), limit=limit, after=asked.page_token, deleted=deleted
    )
    with app.kernel.catalog.read() as connection:
        rows = queries.experiment_numbers(connection, [run.experiment for run in found.runs])
        inputs = queries.inputs_of(connection, [run.id for run in found.runs])
    answer: dict[str, Any] = {
        "runs": [as_document(run, rows[run.experiment], inputs.get(run.id, [])) for run in found.runs]
    }
    return answer | ({"next_page_token": found.next} if found.next else {})


def id_of(asked: Any) -> str:  # noqa: ANN401 - any request that names a run
    """Return the id of the run that a request names.

    Raises:
        BadParameterError: it names none.
    """
    run_id = asked.run_id or getattr(asked, "run_uuid", "")
    required(run_id, "run_id")
    return str(run_id)


def active(connection: sa.Connection, run_id: str) -> RunRow:
    """Return a run that takes values, locked until the commit.

    Raises:
        NothingThereError, BadParameterError: it is not there, or deleted.
    """
    row = tracking.lock(connection, run_id)
    if row is None:
        raise missing(run_id)
    if row.is_deleted:
        raise BadParameterError(f"The run {run_id} must be in the 'active' state. Current state is deleted.")
    return row


def missing(run_id: str) -> NothingThereError:
    """Return the error of a run that is not there."""
    return NothingThereError(f"Run with id={run_id} not found")


def as_document(run: Run, experiment: ExperimentRow, inputs: builtins.list[Any]) -> dict[str, Any]:
    """Return a run as MLflow writes it."""
    datasets = [row.document for row in inputs if row.kind == "dataset"]
    read = [row.document for row in inputs if row.kind == "model"]
    made = [row.document for row in inputs if row.kind == "output"]
    document: dict[str, Any] = {
        "info": _info(run, experiment),
        "data": {
            "metrics": [_metric(one, run.id) for one in run.metrics],
            "params": [{"key": key, "value": text_of(value)} for key, value in run.params.items()],
            "tags": [{"key": key, "value": value} for key, value in _tags(run).items()],
        },
        "inputs": {"dataset_inputs": datasets, "model_inputs": read},
    }
    return document | ({"outputs": {"model_outputs": made}} if made else {})


def _info(run: Run, experiment: ExperimentRow) -> dict[str, Any]:
    info = {
        "run_id": run.id,
        "run_uuid": run.id,
        "run_name": run.name,
        "experiment_id": number_of(experiment),
        "user_id": run.tags.get("mlflow.user") or run.owner.partition(":")[2],
        "status": run.status.upper(),
        "start_time": milliseconds(run.created_at),
        "artifact_uri": f"{place_of(experiment)}/{run.id}/artifacts",
        "lifecycle_stage": "active" if run.deleted_at is None else "deleted",
    }
    return info if run.ended_at is None else info | {"end_time": milliseconds(run.ended_at)}


def _tags(run: Run) -> dict[str, str]:
    known = {
        RUN_NAME: run.name,
        NOTE: run.note,
        PARENT: run.parent,
        "mlflow.source.name": run.capture.script,
        "mlflow.source.git.commit": run.capture.commit,
    }
    return {key: value for key, value in known.items() if value} | run.tags


def _metric(one: Metric, run_id: str) -> dict[str, Any]:
    value = number_text(float(one.mark or "nan")) if one.value is None else one.value
    return {
        "key": one.name,
        "value": value,
        "timestamp": milliseconds(one.time),
        "step": int(one.step),
        "run_id": run_id,
    }


def _name(asked: str, tags: dict[str, str]) -> str:
    tagged = tags.get(RUN_NAME, "")
    if asked and tagged and asked != tagged:
        raise BadParameterError(
            f"Both 'run_name' argument and '{RUN_NAME}' tag are specified, but with different values "
            f"(run_name='{asked}', {RUN_NAME}='{tagged}')."
        )
    if asked or tagged:
        return asked or tagged
    chance = random.SystemRandom()
    return f"{chance.choice(_WORDS)}-{chance.choice(_ANIMALS)}-{chance.randrange(1000)}"


def _time(milliseconds_: int | None, name: str) -> datetime | None:
    if not milliseconds_:
        return None
    try:
        return from_microseconds(milliseconds_ * 1000)
    except (OverflowError, ValueError) as error:
        raise BadParameterError(f"{name} is no time in milliseconds since 1970: {milliseconds_}.") from error


def _state(status: str | int | None) -> str | None:
    if status is None:
        return None
    name = _NUMBERS.get(str(status), str(status))
    if name not in _STATES:
        raise BadParameterError(f"Invalid run status '{status}'. Valid values are {', '.join(_STATES)}.")
    return _STATES[name]


def _there(app: App, run_id: str) -> str:
    with app.kernel.catalog.read() as connection:
        if not tracking.exists(connection, run_id):
            raise missing(run_id)
    return run_id


def _that_read(app: App, clauses: builtins.list[Clause]) -> tuple[str, ...]:
    """Return the ids of runs with a dataset for which all comparisons hold."""
    with app.kernel.catalog.read() as connection:
        rows = queries.dataset_inputs(connection)
    found = {row.id for row in rows if all(holds(one, _of_dataset(row, one.key)) for one in clauses)}
    return tuple(sorted(found))


def _of_dataset(row: Any, key: str) -> str | None:  # noqa: ANN401 - a row
    if key in ("name", "digest"):
        return str(getattr(row, key))
    if key != "context":
        raise BadParameterError(f"Invalid dataset key '{key}'. Valid keys are name, digest and context.")
    tags = {tag["key"]: tag["value"] for tag in row.document.get("tags", [])}
    context: str | None = tags.get("mlflow.data.context")
    return context
