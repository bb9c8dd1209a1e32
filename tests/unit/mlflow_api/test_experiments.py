"""Experiments on the edge: ours by number, `default` as number 0."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.unit.mlflow_api.conftest import Ask

    from everloop.app import App


def test_default_is_number_0_and_keeps_its_name(ask: Ask, app: App) -> None:
    app.tracking.create_run(id="ours", experiment="default")

    found = ask("GET", "experiments/get", experiment_id="0").json["experiment"]
    by_name = ask("GET", "experiments/get-by-name", experiment_name="Default").json["experiment"]

    assert found == by_name
    assert (found["name"], found["artifact_location"]) == ("Default", "mlflow-artifacts:/0")
    number = app.tracking.experiments()[0].id
    assert (
        ask("GET", "experiments/get", experiment_id=str(number)).json["error_code"]
        == "RESOURCE_DOES_NOT_EXIST"
    )
    renamed = ask("POST", "experiments/update", {"experiment_id": "0", "new_name": "x"})
    assert renamed.json["error_code"] == "INVALID_PARAMETER_VALUE"
    assert ask("GET", "runs/get", run_id="ours").json["run"]["info"]["experiment_id"] == "0"


def test_a_place_of_artifacts_that_the_client_chose_is_kept_and_no_tag(ask: Ask) -> None:
    made = ask("POST", "experiments/create", {"name": "far", "artifact_location": "s3://bucket/far"})
    number = made.json["experiment_id"]

    found = ask("GET", "experiments/get", experiment_id=number).json["experiment"]
    run = ask("POST", "runs/create", {"experiment_id": number}).json["run"]["info"]

    assert (found["artifact_location"], found["tags"]) == ("s3://bucket/far", [])
    assert run["artifact_uri"] == f"s3://bucket/far/{run['run_id']}/artifacts"


def test_our_own_changes_are_seen(ask: Ask, app: App) -> None:
    made = app.tracking.create_experiment("mine", tags={"a": "b"})
    app.tracking.edit_experiment("mine", name="yours")

    found = ask("GET", "experiments/get", experiment_id=str(made.id)).json["experiment"]

    assert (found["name"], found["tags"]) == ("yours", [{"key": "a", "value": "b"}])


def test_odd_numbers_are_not_there(ask: Ask) -> None:
    for number in ("-1", "1.5", "x", "9" * 30, "٣", "00"):
        assert ask("GET", "experiments/get", experiment_id=number).status == 404, number
    assert ask("GET", "experiments/get").json["error_code"] == "INVALID_PARAMETER_VALUE"
