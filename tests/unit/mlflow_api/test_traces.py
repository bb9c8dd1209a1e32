"""Traces on the edge: kept, found, tagged, assessed, deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.unit.mlflow_api.conftest import Ask

BASE = "/api/3.0/mlflow/traces"


def trace(number: int, **more: Any) -> dict[str, Any]:
    info = {
        "trace_id": f"tr-{number}",
        "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}},
        "request_time": f"2026-11-26T12:00:0{number}.5Z",
        "execution_duration": f"0.{number}s",
        "state": "OK",
        "trace_metadata": {"mlflow.sourceRun": f"run{number}"},
        "tags": {"mlflow.traceName": f"name{number}"},
    }
    return {"trace": {"trace_info": info | more}}


def ids(ask: Ask, text: str, **more: Any) -> list[str]:
    where = {"locations": [{"mlflow_experiment": {"experiment_id": "0"}}], "filter": text, **more}
    answer = ask("POST", f"{BASE}/search", where)
    return [one["trace_id"] for one in answer.json["traces"]]


@pytest.fixture
def three(ask: Ask) -> None:
    for number in (1, 2, 3):
        assert ask("POST", BASE, trace(number)).status == 200


@pytest.mark.usefixtures("three")
def test_traces_are_found_newest_first_and_by_what_they_are(ask: Ask) -> None:
    assert ids(ask, "") == ["tr-3", "tr-2", "tr-1"]
    assert ids(ask, "trace.execution_time_ms > 150", order_by=["timestamp_ms ASC"]) == ["tr-2", "tr-3"]
    assert ids(ask, "metadata.`mlflow.sourceRun` = 'run2'") == ["tr-2"]
    assert ids(ask, "run_id = 'run1' AND name LIKE 'name%' AND status = 'OK'") == ["tr-1"]
    assert ask("POST", f"{BASE}/search", {"filter": "nothing = 'x'", "locations": []}).status == 200
    assert (
        ask("GET", f"{BASE}/batchGetInfos", trace_ids=["tr-1", "tr-9"]).json["trace_infos"][0]["trace_id"]
        == "tr-1"
    )


@pytest.mark.usefixtures("three")
def test_what_overrides_an_assessment_makes_it_invalid_until_it_goes(ask: Ask) -> None:
    def assess(**given: object) -> dict[str, Any]:
        made: dict[str, Any] = ask("POST", f"{BASE}/tr-1/assessments", {"assessment": given}).json[
            "assessment"
        ]
        return made

    first = assess(assessment_name="good", feedback={"value": True})
    second = assess(assessment_name="good", feedback={"value": False}, overrides=first["assessment_id"])
    place = f"{BASE}/tr-1/assessments"
    assert ask("GET", f"{place}/{first['assessment_id']}").json["assessment"]["valid"] is False
    change = {"assessment": {"assessment_name": "better", "rationale": "no"}, "update_mask": "assessmentName"}
    changed = ask("PATCH", f"{place}/{second['assessment_id']}", change).json["assessment"]
    assert (changed["assessment_name"], "rationale" in changed) == ("better", False)

    assert ask("DELETE", f"{place}/{second['assessment_id']}").status == 200

    assert ask("GET", f"{place}/{first['assessment_id']}").json["assessment"]["valid"] is True
    assert ask("GET", f"{place}/{second['assessment_id']}").status == 404


@pytest.mark.usefixtures("three")
def test_traces_are_deleted_by_id_or_by_time(ask: Ask) -> None:
    path = "traces/delete-traces"
    assert ask("POST", path, {"experiment_id": "0", "request_ids": ["tr-2", "tr-9"]}).json == {
        "traces_deleted": 1
    }
    asked = {"experiment_id": "0", "max_timestamp_millis": 4102444800000, "max_traces": 1}
    assert ask("POST", path, asked).json == {"traces_deleted": 1}
    assert ids(ask, "") == ["tr-3"]
    assert ask("POST", path, {"experiment_id": "0"}).status == 400


@pytest.mark.parametrize(
    "bad",
    [{"trace_id": ""}, {"trace_id": "../x"}, {"request_time": "noon"}, {"request_time": None}, {"trace_location": {}},
     {"assessments": [{}]}],
)  # fmt: skip
def test_a_trace_that_is_none_is_refused(ask: Ask, bad: dict[str, Any]) -> None:
    assert ask("POST", BASE, trace(1, **bad)).json["error_code"] == "INVALID_PARAMETER_VALUE"
    assert ask("POST", "traces", trace(1)).json["error_code"] == "ENDPOINT_NOT_FOUND"
    assert ask("GET", f"{BASE}/get", trace_id="tr-1").json["error_code"] == "ENDPOINT_NOT_FOUND"
    assert ask("POST", "/v1/traces", b"x").json["error_code"] == "ENDPOINT_NOT_FOUND"


def test_an_unknown_trace_takes_nothing(ask: Ask) -> None:
    for method, path in (
        ("GET", ""),
        ("PATCH", "/tags"),
        ("DELETE", "/tags"),
        ("POST", "/assessments"),
        ("GET", "/assessments/a-1"),
    ):
        assert (
            ask(method, f"{BASE}/tr-9{path}", {"key": "a", "assessment": {"assessment_name": "x"}}).status
            == 404
        ), path
