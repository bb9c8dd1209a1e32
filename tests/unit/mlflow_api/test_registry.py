"""Models on the edge and models of Everloop are the same models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.registry.test_service import rows, train

from everloop.core.actors import Actor

if TYPE_CHECKING:
    from tests.unit.mlflow_api.conftest import Ask

    from everloop.app import App

ROOT = "/api/2.0/mlflow-artifacts/artifacts"


@pytest.fixture
def version(ask: Ask, run_id: str) -> dict[str, Any]:
    """A version of the model `m`, made of one file of a run."""
    ask("PUT", f"{ROOT}/0/{run_id}/artifacts/model/MLmodel", b"flavors: {}")
    ask("POST", "registered-models/create", {"name": "m"})
    made = ask(
        "POST", "model-versions/create", {"name": "m", "source": f"runs:/{run_id}/model", "run_id": run_id}
    )
    found: dict[str, Any] = made.json["model_version"]
    return found


def test_a_model_of_everloop_is_read_as_mlflows(ask: Ask, app: App) -> None:
    made = app.registry.register("delays", train(rows(3)), run="r1", note="n")
    app.registry.set_alias("delays", "champion", version=1)

    found = ask("GET", "registered-models/alias", name="delays", alias="champion").json["model_version"]
    uri = ask("GET", "model-versions/get-download-uri", name="delays", version="1").json["artifact_uri"]
    place = uri.removeprefix("mlflow-artifacts:/")
    files = ask("GET", ROOT, path=place).json["files"]

    assert (found["version"], found["aliases"], found["run_id"], found["description"]) == (
        "1",
        ["champion"],
        "r1",
        "n",
    )
    assert {one["path"] for one in files} == set(made.files)
    assert b"flavors" in ask("GET", f"{ROOT}/{place}/MLmodel").body
    assert (
        b"flavors"
        in ask("GET", "/model-versions/get-artifact", name="delays", version="1", path="MLmodel").body
    )


def test_a_version_outlives_its_run(ask: Ask, app: App, run_id: str, version: dict[str, Any]) -> None:
    ask("DELETE", f"{ROOT}/0/{run_id}/artifacts/model")
    app.system.collect_objects(grace="0s", dry_run=False)

    assert ask("GET", f"{ROOT}/everloop-registry/m/1/MLmodel").body == b"flavors: {}"
    assert version["source"] == f"runs:/{run_id}/model"


def test_files_of_a_version_never_change(ask: Ask, version: dict[str, Any]) -> None:
    place = f"{ROOT}/everloop-registry/m/{version['version']}/MLmodel"

    assert ask("PUT", place, b"other").status == 400
    assert ask("DELETE", place).status == 400
    assert ask("GET", f"{ROOT}/everloop-registry/m/7/MLmodel").status == 404
    assert ask("GET", f"{ROOT}/everloop-registry/m/1/nothing").status == 404


@pytest.mark.parametrize(
    "source",
    ["/etc/passwd", "file:///etc", "http://127.0.0.1/x", "s3://b/x", "mlflow-artifacts:/../x", "mlflow-artifacts://h/%2e%2e/x",
     "runs:/nowhere/x", "models:/m-nowhere", "models:/nowhere/1", "models:/m/99", "dbfs:/x", ""],
)  # fmt: skip
def test_a_source_that_is_not_kept_here_is_refused(ask: Ask, version: dict[str, Any], source: str) -> None:
    assert version["version"] == "1"

    answer = ask("POST", "model-versions/create", {"name": "m", "source": source})

    assert answer.status in (400, 404), answer
    assert len(ask("GET", "model-versions/search", filter="name = 'm'").json["model_versions"]) == 1


def test_who_may_not_move_an_alias_is_told_how_to_get_it_moved(
    app: App, ask: Ask, version: dict[str, Any]
) -> None:
    import asyncio
    import json

    from everloop.mlflow_api.protocol import Protocol

    body = json.dumps({"name": "m", "alias": "champion", "version": "1"}).encode()
    scope = {
        "type": "http", "method": "POST", "path": "/api/2.0/mlflow/registered-models/alias", "query_string": b"", "headers": [],
        "everloop.actor": Actor(name="user:eve", roles=frozenset({"engineer"})),
    }  # fmt: skip
    sent: list[Any] = []

    async def exchange() -> None:
        async def receive() -> Any:
            return {"type": "http.request", "body": body}

        async def send(message: Any) -> None:
            sent.append(message)

        await Protocol(app)(scope, receive, send)

    asyncio.run(exchange())
    told = json.loads(sent[1]["body"])

    assert (sent[0]["status"], told["error_code"]) == (403, "PERMISSION_DENIED")
    assert "model.alias" in told["message"]
    assert ask("GET", "registered-models/get", name="m").json["registered_model"]["aliases"] == []
    assert version["version"] == "1"


def test_reserved_aliases_and_hidden_tags_are_refused(ask: Ask, version: dict[str, Any]) -> None:
    for alias in ("latest", "LATEST", "v1", "V7", "a b", ""):
        answer = ask(
            "POST", "registered-models/alias", {"name": "m", "alias": alias, "version": version["version"]}
        )
        assert (answer.status, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE"), alias
    hidden = {"name": "m", "version": "1", "key": "everloop.mlflow_stage", "value": "Production"}
    assert ask("POST", "model-versions/set-tag", hidden).status == 400
    assert version["tags"] == []


def test_prompts_are_shown_where_they_are_asked_for(ask: Ask) -> None:
    tags = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]
    ask("POST", "registered-models/create", {"name": "p", "tags": tags})
    made = ask("POST", "model-versions/create", {"name": "p", "source": "dummy", "tags": tags})
    ask("POST", "registered-models/create", {"name": "m"})

    def names(text: str) -> list[str]:
        return [
            one["name"]
            for one in ask("GET", "registered-models/search", filter=text).json["registered_models"]
        ]

    assert made.status == 200
    assert names("") == ["m"]
    assert names("tags.`mlflow.prompt.is_prompt` = 'true'") == ["p"]
    assert ask("GET", "model-versions/search").json["model_versions"] == []


@pytest.mark.parametrize("version_text", ["x", "1.5", "-1", "", "9" * 30])
def test_a_version_that_is_no_number_is_refused(ask: Ask, version: dict[str, Any], version_text: str) -> None:
    assert ask("GET", "model-versions/get", name=version["name"], version=version_text).status == 400


def test_a_logged_model_is_found_by_what_was_measured_on_a_dataset(ask: Ask, run_id: str) -> None:
    ids = []
    for name, value in (("a", 0.7), ("b", "NaN")):
        made = ask("POST", "logged-models", {"experiment_id": "0", "name": name}).json["model"]["info"][
            "model_id"
        ]
        point = {
            "key": "auc",
            "value": value,
            "timestamp": 1,
            "step": 0,
            "model_id": made,
            "dataset_name": "d",
            "dataset_digest": "1",
        }
        assert ask("POST", "runs/log-batch", {"run_id": run_id, "metrics": [point]}).status == 200
        ids.append(made)

    def names(text: str, **more: object) -> list[str]:
        found = ask("POST", "logged-models/search", {"experiment_ids": ["0"], "filter": text, **more}).json[
            "models"
        ]
        return [one["info"]["name"] for one in found]

    assert names("metrics.auc > 0.5") == ["a"]
    assert names("metrics.auc > 0.5", datasets=[{"dataset_name": "d"}]) == ["a"]
    assert names("metrics.auc > 0.5", datasets=[{"dataset_name": "other"}]) == []
    order = {"field_name": "metrics.auc", "ascending": False, "dataset_name": "d", "dataset_digest": "1"}
    assert sorted(names("", order_by=[order])) == ["a", "b"]
    assert ask("PATCH", f"logged-models/{ids[0]}", {"status": "LOGGED_MODEL_PENDING"}).status == 400
    ask("PUT", f"{ROOT}/0/models/{ids[0]}/artifacts/sub/MLmodel", b"x")
    listed = ask("GET", f"logged-models/{ids[0]}/artifacts/directories").json["files"]
    assert listed == [{"path": "sub", "is_dir": True}]
    assert ask("GET", "logged-models/m-nowhere").json["error_code"] == "RESOURCE_DOES_NOT_EXIST"
