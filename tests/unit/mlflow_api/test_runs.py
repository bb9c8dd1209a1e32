"""Runs on the edge and runs of Everloop are the same runs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa

from everloop.kernel.events.tables import lineage
from everloop.tracking.records import Capture, Point

if TYPE_CHECKING:
    from tests.unit.mlflow_api.conftest import Ask

    from everloop.app import App

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


def test_a_run_of_everloop_is_a_run_of_mlflow(ask: Ask, app: App) -> None:
    app.tracking.create_run(
        id="outer", experiment="default", name="o", params={"lr": 0.1, "deep": True}, note="mind", started_at=NOON,
        capture=Capture(script="train.py", commit="abc"),
    )  # fmt: skip
    app.tracking.create_run(id="inner", parent="outer")
    app.tracking.log_batch("outer", points=[Point(name="loss", value=None, mark="-inf", step=2.0, time=NOON)])
    app.tracking.finish_run("outer", status="failed", ended_at=NOON)

    run = ask("GET", "runs/get", run_id="outer").json["run"]
    inner = ask("GET", "runs/get", run_id="inner").json["run"]
    tags = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
    noon = int(NOON.timestamp() * 1000)

    assert (run["info"]["status"], run["info"]["start_time"], run["info"]["end_time"]) == (
        "FAILED",
        noon,
        noon,
    )
    assert run["data"]["params"] == [{"key": "deep", "value": "True"}, {"key": "lr", "value": "0.1"}]
    assert run["data"]["metrics"] == [
        {"key": "loss", "value": "-Infinity", "timestamp": noon, "step": 2, "run_id": "outer"}
    ]
    assert tags == {
        "mlflow.runName": "o",
        "mlflow.note.content": "mind",
        "mlflow.source.name": "train.py",
        "mlflow.source.git.commit": "abc",
    }
    assert {"key": "mlflow.parentRunId", "value": "outer"} in inner["data"]["tags"]


def test_a_run_of_mlflow_is_a_run_of_everloop(ask: Ask, app: App) -> None:
    outer = ask("POST", "runs/create", {"experiment_id": "0", "run_name": "outer"}).json["run"]["info"][
        "run_id"
    ]
    tags = [
        ("mlflow.parentRunId", outer),
        ("mlflow.note.content", "mind"),
        ("mlflow.source.name", "train.py"),
        ("mlflow.user", "ada"),
    ]
    made = ask(
        "POST", "runs/create", {"experiment_id": "0", "tags": [{"key": k, "value": v} for k, v in tags]}
    )
    run_id = made.json["run"]["info"]["run_id"]
    ask("POST", "runs/log-batch", {"run_id": run_id, "params": [{"key": "lr", "value": "0.01"}]})
    ask("POST", "runs/set-tag", {"run_id": run_id, "key": "mlflow.runName", "value": "new"})

    run = app.tracking.get_run(run_id)

    assert (run.parent, run.note, run.capture.script, run.name) == (outer, "mind", "train.py", "new")
    assert app.tracking.search("params.lr < 0.02").runs[0].id == run_id
    assert made.json["run"]["info"]["user_id"] == "ada"


def test_a_name_and_its_tag_must_agree(ask: Ask) -> None:
    both = {"experiment_id": "0", "run_name": "a", "tags": [{"key": "mlflow.runName", "value": "b"}]}

    assert ask("POST", "runs/create", both).json["error_code"] == "INVALID_PARAMETER_VALUE"


def test_states_come_as_names_or_numbers_and_a_run_goes_on(ask: Ask, run_id: str) -> None:
    for status, told in (("KILLED", "KILLED"), (1, "RUNNING"), (3, "FINISHED"), ("SCHEDULED", "RUNNING")):
        changed = ask("POST", "runs/update", {"run_id": run_id, "status": status})
        assert changed.json["run_info"]["status"] == told
        assert ("end_time" in changed.json["run_info"]) == (told != "RUNNING")
    assert ask("POST", "runs/update", {"run_id": run_id, "status": "DONE"}).status == 400
    assert ask("POST", "runs/update", {"run_id": run_id, "end_time": 10**17}).status == 400


def test_datasets_and_models_of_a_run_are_kept_once(ask: Ask, app: App, run_id: str) -> None:
    data = {"dataset": {"name": "d", "digest": "1", "source_type": "local", "source": "x"}, "tags": []}
    for _ in range(2):
        ask(
            "POST", "runs/log-inputs", {"run_id": run_id, "datasets": [data], "models": [{"model_id": "m-1"}]}
        )
        ask("POST", "runs/outputs", {"run_id": run_id, "models": [{"model_id": "m-2", "step": 3}]})

    run = ask("GET", "runs/get", run_id=run_id).json["run"]

    assert run["inputs"] == {"dataset_inputs": [data], "model_inputs": [{"model_id": "m-1"}]}
    assert run["outputs"] == {"model_outputs": [{"model_id": "m-2", "step": 3}]}
    assert app.tracking.get_run(run_id).inputs[0].ref == "d@1"
    with app.kernel.catalog.read() as connection:
        edges = connection.execute(sa.select(lineage.c.source, lineage.c.target)).all()
    assert set(edges) == {("dataset:d@1", f"run:{run_id}")}
    summaries = ask("POST", "experiments/search-datasets", {"experiment_ids": ["0"]}).json[
        "dataset_summaries"
    ]
    assert summaries == [{"experiment_id": "0", "name": "d", "digest": "1", "context": ""}]


def test_pages_of_a_search_hold_each_run_once(ask: Ask) -> None:
    for i in range(7):
        ask("POST", "runs/create", {"experiment_id": "0", "start_time": 5 + i % 2})
    seen: list[str] = []
    token = ""
    while True:
        page = ask(
            "POST", "runs/search", {"experiment_ids": ["0"], "max_results": 3, "page_token": token}
        ).json
        seen += [run["info"]["run_id"] for run in page["runs"]]
        token = page.get("next_page_token", "")
        if not token:
            break

    assert len(seen) == len(set(seen)) == 7
    for bad in (0, -1, 50_001):
        assert ask("POST", "runs/search", {"experiment_ids": ["0"], "max_results": bad}).status == 400
