"""Values on the edge, good and bad: a batch is kept whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.mlflow_api.conftest import asker

if TYPE_CHECKING:
    from tests.unit.mlflow_api.conftest import Ask

    from everloop.app import App


def data_of(ask: Ask, run_id: str) -> dict[str, Any]:
    found: dict[str, Any] = ask("GET", "runs/get", run_id=run_id).json["run"]["data"]
    return found


def metric(key: str, value: object = 1.0, **more: object) -> dict[str, object]:
    return {"key": key, "value": value, "timestamp": 5, "step": 0, **more}


@pytest.mark.parametrize(
    "bad",
    [
        {"metrics": [metric("")]},
        {"metrics": [metric("a\nb")]},
        {"metrics": [metric("a" * 251)]},
        {"metrics": [{"key": "a", "timestamp": 5}]},
        {"metrics": [metric("a", "much")]},
        {"metrics": [metric("a", timestamp=1 << 62)]},
        {"metrics": [metric("a", step=1.5)]},
        {"params": [{"key": "", "value": "x"}]},
        {"params": [{"key": "b", "value": "x" * (1 << 20)}]},
        {"params": [{"key": "old", "value": "2"}]},
        {"params": [{"key": "b", "value": "1"}, {"key": "b", "value": "2"}]},
        {"tags": [{"key": "t", "value": "x" * (1 << 20)}]},
        {"metrics": [metric("a", model_id="m-nowhere")]},
    ],
)
def test_a_batch_with_something_bad_leaves_nothing(ask: Ask, run_id: str, bad: dict[str, Any]) -> None:
    ask("POST", "runs/log-parameter", {"run_id": run_id, "key": "old", "value": "1"})
    before = data_of(ask, run_id)
    good = {
        "metrics": [metric("good")],
        "params": [{"key": "p", "value": "q"}],
        "tags": [{"key": "t2", "value": "u"}],
    }

    answer = ask("POST", "runs/log-batch", {"run_id": run_id, **{k: good[k] + bad.get(k, []) for k in good}})

    assert answer.status in (400, 404), answer
    assert data_of(ask, run_id) == before


def test_a_param_keeps_its_value_and_both_are_told(ask: Ask, run_id: str) -> None:
    for value in ("0.10", "0.10"):
        assert (
            ask("POST", "runs/log-parameter", {"run_id": run_id, "key": "lr", "value": value}).status == 200
        )

    changed = ask("POST", "runs/log-parameter", {"run_id": run_id, "key": "lr", "value": "0.1"})

    assert (changed.status, changed.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert "'0.10'" in changed.json["message"]
    assert "'0.1'" in changed.json["message"]
    assert data_of(ask, run_id)["params"] == [{"key": "lr", "value": "0.10"}]


def test_ten_thousand_keys_in_a_call_are_kept(ask: Ask, run_id: str) -> None:
    batch = {
        "run_id": run_id,
        "metrics": [metric(f"m{i}", i) for i in range(10_000)],
        "params": [{"key": f"p{i}", "value": str(i)} for i in range(10_000)],
    }

    assert ask("POST", "runs/log-batch", batch).status == 200
    assert ask("POST", "runs/log-batch", batch).status == 200

    found = data_of(ask, run_id)
    assert (len(found["metrics"]), len(found["params"])) == (10_000, 10_000)
    assert len(ask("GET", "metrics/get-history", run_id=run_id, metric_key="m7").json["metrics"]) == 1


def test_the_latest_value_is_that_of_the_greatest_step_then_time(ask: Ask, run_id: str) -> None:
    for value, step, time in ((1.0, 5, 1), (2.0, 1, 9), (3.0, 5, 2), ("NaN", 4, 9)):
        ask("POST", "runs/log-metric", {"run_id": run_id, **metric("a", value, step=step, timestamp=time)})

    [latest] = data_of(ask, run_id)["metrics"]
    history = ask("GET", "metrics/get-history", run_id=run_id, metric_key="a").json["metrics"]

    assert (latest["value"], latest["step"]) == (3.0, 5)
    assert [(one["timestamp"], one["step"], one["value"]) for one in history] == [
        (1, 5, 1.0), (2, 5, 3.0), (9, 1, 2.0), (9, 4, "NaN"),
    ]  # fmt: skip


def test_history_comes_in_pages_where_a_number_is_asked(ask: Ask, run_id: str) -> None:
    ask(
        "POST",
        "runs/log-batch",
        {"run_id": run_id, "metrics": [metric("a", i, step=i, timestamp=i) for i in range(5)]},
    )
    asked = {"run_id": run_id, "metric_key": "a"}

    first = ask("GET", "metrics/get-history", **asked, max_results=3).json
    rest = ask("GET", "metrics/get-history", **asked, max_results=3, page_token=first["next_page_token"]).json

    assert [one["step"] for one in first["metrics"] + rest["metrics"]] == [0, 1, 2, 3, 4]
    assert "next_page_token" not in rest
    assert ask("GET", "metrics/get-history", **asked, max_results=0).status == 400
    assert ask("GET", "metrics/get-history", run_id=run_id).status == 400
    assert ask("GET", "metrics/get-history", run_id="nowhere", metric_key="a").status == 404


def test_a_chart_keeps_the_spike(ask: Ask, run_id: str) -> None:
    points = [metric("a", 100.0 if i == 777 else 0.5, step=i, timestamp=i) for i in range(2000)]
    ask("POST", "runs/log-batch", {"run_id": run_id, "metrics": points})

    asked = {"run_ids": [run_id], "metric_key": "a", "max_results": 20}
    whole = ask("GET", "metrics/get-history-bulk-interval", **asked).json["metrics"]
    part = ask("GET", "metrics/get-history-bulk-interval", **asked, start_step=770, end_step=780).json[
        "metrics"
    ]
    bulk = ask("GET", "metrics/get-history-bulk", run_id=[run_id], metric_key="a", max_results=50).json[
        "metrics"
    ]

    assert 100.0 in [one["value"] for one in whole]
    assert len(whole) <= 24
    assert [one["step"] for one in part] == list(range(770, 781))
    assert len(bulk) == 50
    assert ask("GET", "metrics/get-history-bulk-interval", **asked, start_step=1).status == 400


@pytest.mark.parametrize(
    "path",
    [
        "log-metric",
        "log-parameter",
        "set-tag",
        "delete-tag",
        "log-batch",
        "log-inputs",
        "update",
        "outputs",
        "delete",
        "restore",
    ],
)
def test_an_unknown_run_and_a_deleted_one_take_nothing(ask: Ask, run_id: str, path: str) -> None:
    body = {"key": "a", "value": "1", "timestamp": 1, "status": "FAILED"}

    assert (
        ask("POST", f"runs/{path}", {**body, "run_id": "nowhere"}).json["error_code"]
        == "RESOURCE_DOES_NOT_EXIST"
    )
    assert ask("POST", f"runs/{path}", body).json["error_code"] == "INVALID_PARAMETER_VALUE"
    ask("POST", "runs/delete", {"run_id": run_id})
    answer = ask("POST", f"runs/{path}", {**body, "run_id": run_id})
    if path in ("delete", "restore"):
        assert answer.status == 200
    else:
        assert answer.json["error_code"] == "INVALID_PARAMETER_VALUE"
        assert "active" in answer.json["message"]


def test_a_run_of_a_deleted_experiment_takes_nothing(ask: Ask) -> None:
    number = ask("POST", "experiments/create", {"name": "x"}).json["experiment_id"]
    run = ask("POST", "runs/create", {"experiment_id": number}).json["run"]["info"]["run_id"]
    ask("POST", "experiments/delete", {"experiment_id": number})

    assert ask("POST", "runs/log-metric", {"run_id": run, **metric("a")}).status == 400
    assert ask("POST", "runs/restore", {"run_id": run}).status == 400
    assert ask("POST", "runs/create", {"experiment_id": number}).status == 400
    assert ask("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{number}/{run}/artifacts/a", b"x").status == 400


def test_models_logged_before_there_were_logged_models_are_noted(ask: Ask, run_id: str) -> None:
    model = '{"artifact_path": "m", "flavors": {}, "utc_time_created": "", "run_id": "r"}'
    for _ in range(2):
        assert ask("POST", "runs/log-model", {"run_id": run_id, "model_json": model}).status == 200
    assert ask("POST", "runs/log-model", {"run_id": run_id, "model_json": "{}"}).status == 400

    tags = {tag["key"]: tag["value"] for tag in data_of(ask, run_id)["tags"]}
    assert tags["mlflow.log-model.history"].count("artifact_path") == 2


def test_it_is_the_same_on_postgresql(postgres_app: App) -> None:
    ask = asker(postgres_app)
    run_id = ask("POST", "runs/create", {"experiment_id": "0"}).json["run"]["info"]["run_id"]
    batch = {
        "run_id": run_id,
        "metrics": [metric("a", "Infinity")],
        "params": [{"key": "p", "value": "1"}],
        "tags": [{"key": "t", "value": "v"}],
    }
    assert ask("POST", "runs/log-batch", batch).status == 200
    bad = {**batch, "params": [{"key": "p", "value": "2"}], "metrics": [metric("b")]}
    assert ask("POST", "runs/log-batch", bad).status == 400
    assert (
        ask("PUT", f"/api/2.0/mlflow-artifacts/artifacts/0/{run_id}/artifacts/f/a%_b.txt", b"x").status == 200
    )

    found = ask(
        "POST", "runs/search", {"experiment_ids": ["0"], "filter": "params.p = '1' AND metrics.a > 5"}
    ).json["runs"]
    listed = ask("GET", "artifacts/list", run_id=run_id, path="f").json["files"]

    assert [one["key"] for one in found[0]["data"]["metrics"]] == ["a"]
    assert listed == [{"path": "f/a%_b.txt", "is_dir": False, "file_size": 1}]
