"""A tour of MLflow's endpoints with MLflow's own client, as a program of any interpreter that has MLflow.

    python tour.py http://127.0.0.1:8787 --large-mb 500 --files 2000

Every stop asserts what the client is told. It prints one JSON line: the version of MLflow and the stops it made. The test
tests/integration/mlflow/test_tour.py runs it against a server process; EVERLOOP_MLFLOW_PYTHON names another interpreter for it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = int(time.time() * 1000)


def refused(call: Callable[[], object], code: str) -> str:
    """Make a call that must be refused with a code; return the message."""
    try:
        call()
    except MlflowException as error:
        if error.error_code == code:
            return str(error)
        raise
    raise AssertionError(f"not refused with {code}")


def number_of(client: MlflowClient, name: str) -> str:
    """Return the number of an experiment by its name."""
    found = client.get_experiment_by_name(name)
    assert found is not None
    return str(found.experiment_id)


def experiments(client: MlflowClient, options: argparse.Namespace) -> None:
    name = f"tour {options.mark}"
    number = client.create_experiment(name, tags={"team": "blue"})
    assert number.isdecimal()
    found = client.get_experiment(number)
    assert (found.name, found.lifecycle_stage, found.tags) == (name, "active", {"team": "blue"})
    assert found.artifact_location == f"mlflow-artifacts:/{number}"
    assert abs((found.creation_time or 0) - NOW) < 3_600_000
    assert number_of(client, name) == number
    assert client.get_experiment_by_name("nowhere") is None
    assert client.get_experiment("0").name == "Default"
    assert number_of(client, "Default") == "0"
    refused(lambda: client.create_experiment(name), "RESOURCE_ALREADY_EXISTS")
    refused(lambda: client.get_experiment("987654321"), "RESOURCE_DOES_NOT_EXIST")

    client.set_experiment_tag(number, "stage", "late")
    client.set_experiment_tag(number, "gone", "soon")
    if hasattr(client, "delete_experiment_tag"):
        client.delete_experiment_tag(number, "gone")
        assert "gone" not in client.get_experiment(number).tags
    assert client.get_experiment(number).tags["stage"] == "late"
    client.rename_experiment(number, name + " again")
    assert client.get_experiment(number).name == name + " again"

    others = [client.create_experiment(f"tour {options.mark} {i}") for i in range(4)]
    ours = client.search_experiments(
        filter_string=f"name LIKE 'tour {options.mark}%'", order_by=["name DESC"]
    )
    assert ours[0].name == name + " again"
    assert len(ours) == 5
    page = client.search_experiments(filter_string=f"name ILIKE 'TOUR {options.mark} _'", max_results=3)
    rest = client.search_experiments(
        filter_string=f"name ILIKE 'TOUR {options.mark} _'", max_results=3, page_token=page.token
    )
    assert (len(page), len(rest), rest.token) == (3, 1, None)
    assert [
        e.experiment_id
        for e in client.search_experiments(
            filter_string=f"name LIKE 'tour {options.mark}%' AND tags.stage = 'late'"
        )
    ] == [number]

    run = client.create_run(others[0])
    client.delete_experiment(others[0])
    assert client.get_experiment(others[0]).lifecycle_stage == "deleted"
    assert client.get_run(run.info.run_id).info.lifecycle_stage == "deleted"
    refused(lambda: client.log_metric(run.info.run_id, "a", 1.0), "INVALID_PARAMETER_VALUE")
    refused(lambda: client.create_run(others[0]), "INVALID_PARAMETER_VALUE")
    refused(lambda: client.set_experiment_tag(others[0], "a", "b"), "INVALID_PARAMETER_VALUE")
    deleted = client.search_experiments(view_type=ViewType.DELETED_ONLY)
    assert others[0] in [one.experiment_id for one in deleted]
    client.restore_experiment(others[0])
    assert client.get_run(run.info.run_id).info.lifecycle_stage == "active"
    refused(lambda: client.restore_experiment(others[0]), "RESOURCE_DOES_NOT_EXIST")


def runs(client: MlflowClient, options: argparse.Namespace) -> None:
    number = client.create_experiment(f"runs {options.mark}")
    run = client.create_run(number, start_time=NOW, tags={"a": "b"}, run_name="first")
    run_id = run.info.run_id
    assert len(run_id) == 32
    assert set(run_id) <= set("0123456789abcdef")
    assert (run.info.run_name, run.info.status, run.info.start_time) == ("first", "RUNNING", NOW)
    assert run.info.artifact_uri == f"mlflow-artifacts:/{number}/{run_id}/artifacts"
    assert client.create_run(number).info.run_name
    refused(lambda: client.create_run("987654321"), "RESOURCE_DOES_NOT_EXIST")
    refused(lambda: client.get_run("0" * 32), "RESOURCE_DOES_NOT_EXIST")

    client.log_param(run_id, "lr", "0.010")
    client.log_param(run_id, "lr", "0.010")
    client.log_param(run_id, "layers", 3)
    message = _refused_param(client, run_id)
    assert "0.010" in message
    assert "0.02" in message
    client.set_tag(run_id, "note", "hello")
    client.set_tag(run_id, "note", "hello again")
    client.delete_tag(run_id, "a")
    refused(lambda: client.delete_tag(run_id, "a"), "RESOURCE_DOES_NOT_EXIST")
    for step, value in enumerate([0.5, 0.25, 0.125]):
        client.log_metric(run_id, "loss", value, timestamp=NOW + step, step=step)
    client.log_batch(
        run_id,
        metrics=[Metric("acc", 0.5 + i / 1000, NOW + i, i) for i in range(300)],
        params=[Param("depth", "7"), Param("name", "x y")],
        tags=[RunTag("batch", "yes")],
    )
    client.update_run(run_id, name="second")
    client.set_terminated(run_id, "FINISHED", end_time=NOW + 5000)

    found = client.get_run(run_id)
    assert found.data.params == {"lr": "0.010", "layers": "3", "depth": "7", "name": "x y"}
    assert found.data.metrics == {"loss": 0.125, "acc": 0.5 + 299 / 1000}
    assert found.data.tags["note"] == "hello again"
    assert found.data.tags["batch"] == "yes"
    assert found.data.tags["mlflow.runName"] == "second"
    assert (found.info.status, found.info.end_time, found.info.run_name) == ("FINISHED", NOW + 5000, "second")
    client.set_tag(run_id, "mlflow.runName", "third")
    assert client.get_run(run_id).info.run_name == "third"
    client.delete_run(run_id)
    refused(lambda: client.log_metric(run_id, "loss", 1.0), "INVALID_PARAMETER_VALUE")
    client.restore_run(run_id)
    assert client.get_run(run_id).info.lifecycle_stage == "active"


def fluent(client: MlflowClient, options: argparse.Namespace) -> None:
    mlflow.set_experiment(f"fluent {options.mark}")
    with mlflow.start_run(run_name="outer") as outer:
        mlflow.log_params({"p": 1, "q": "r"})
        mlflow.log_metrics({"m": 1.0, "n": 2.0}, step=3)
        mlflow.log_metric("slow", 3.0, synchronous=False)
        with mlflow.start_run(nested=True, run_name="inner") as inner:
            mlflow.log_metric("m", 2.0)
        mlflow.flush_async_logging()
    assert client.get_run(outer.info.run_id).data.metrics == {"m": 1.0, "n": 2.0, "slow": 3.0}
    assert client.get_run(inner.info.run_id).data.tags["mlflow.parentRunId"] == outer.info.run_id
    with mlflow.start_run(run_id=outer.info.run_id):
        assert client.get_run(outer.info.run_id).info.status == "RUNNING"
        mlflow.set_tag("resumed", "yes")
    assert client.get_run(outer.info.run_id).info.status == "FINISHED"


def _refused_param(client: MlflowClient, run_id: str) -> str:
    return refused(lambda: client.log_param(run_id, "lr", "0.02"), "INVALID_PARAMETER_VALUE")


def histories(client: MlflowClient, options: argparse.Namespace) -> None:
    run_id = client.create_run(client.create_experiment(f"histories {options.mark}")).info.run_id
    odd = [0.0, float("nan"), float("inf"), float("-inf"), 1e-300, -0.5]
    for step, value in enumerate(odd):
        client.log_metric(run_id, "odd", value, timestamp=NOW + step, step=step)
    history = client.get_metric_history(run_id, "odd")
    assert [one.step for one in history] == list(range(6))
    assert [repr(one.value) for one in history] == [repr(value) for value in odd]
    client.log_metric(run_id, "back", 1.0, timestamp=NOW, step=5)
    client.log_metric(run_id, "back", 2.0, timestamp=NOW + 10, step=1)
    assert client.get_run(run_id).data.metrics["back"] == 1.0
    client.log_metric(run_id, "nan last", float("nan"), timestamp=NOW, step=9)
    assert math.isnan(client.get_run(run_id).data.metrics["nan last"])
    client.log_metric(run_id, "a/b.c -d", 1.0, timestamp=NOW, step=-3)
    assert client.get_metric_history(run_id, "a/b.c -d")[0].step == -3
    for _ in range(2):
        client.log_batch(run_id, metrics=[Metric("twice", 1.0, NOW, 0), Metric("twice", 1.0, NOW, 0)])
    assert len(client.get_metric_history(run_id, "twice")) == 1

    count = options.points
    for start in range(0, count, 1000):
        client.log_batch(
            run_id,
            metrics=[Metric("long", float(i), NOW + i, i) for i in range(start, min(start + 1000, count))],
        )
    values = client.get_metric_history(run_id, "long")
    assert [one.value for one in values] == [float(i) for i in range(count)]
    store = client._tracking_client.store
    thin = (
        store.get_metric_history_bulk_interval_from_steps(
            run_id=run_id, metric_key="long", steps=[0, 1, 2], max_results=10
        )
        if hasattr(store, "get_metric_history_bulk_interval_from_steps")
        else None
    )
    assert thin is None or [one.step for one in thin] == [0, 1, 2]
    assert client.get_metric_history(run_id, "nothing") == []


def searches(client: MlflowClient, options: argparse.Namespace) -> None:
    number = client.create_experiment(f"searches {options.mark}")
    ids = []
    for i in range(12):
        run = client.create_run(
            number, start_time=NOW + i, tags={"parity": "odd" if i % 2 else "even"}, run_name=f"r{i}"
        )
        ids.append(run.info.run_id)
        client.log_param(ids[-1], "model", ["lgbm", "xgb", "LGBM 2"][i % 3])
        if i != 5:
            client.log_metric(ids[-1], "a b", float("nan") if i == 7 else i / 10)
    client.set_terminated(ids[3], "FAILED")

    def found(text: str, **more: Any) -> list[int]:
        return [ids.index(run.info.run_id) for run in client.search_runs([number], text, **more)]

    assert found("") == list(range(11, -1, -1))
    assert found("metrics.`a b` > 0.75") == [11, 10, 9, 8]
    assert found("metrics.\"a b\" <= 0.1 AND tags.parity = 'odd'") == [1]
    assert found("params.model LIKE 'lgbm%'") == [9, 6, 3, 0]
    assert found("params.model ILIKE 'lgbm%'", order_by=["attributes.start_time ASC"]) == [
        0,
        2,
        3,
        5,
        6,
        8,
        9,
        11,
    ]
    assert found("params.model != 'xgb' and metrics.`a b` = 0.2") == [2]
    assert found("attributes.status = 'FAILED'") == [3]
    assert found("attributes.run_name = 'r4'") == [4]
    assert found("run_name LIKE 'r1_'") == [11, 10]
    assert found(f"attributes.run_id IN ('{ids[1]}', '{ids[2]}')") == [2, 1]
    assert found(f"attributes.start_time >= {NOW + 9} AND attributes.start_time < {NOW + 11}") == [10, 9]
    assert found("tags.`mlflow.runName` = 'r8'") == [8]
    for direction, first in (("ASC", 0), ("DESC", 11)):
        order = found("", order_by=[f"metrics.`a b` {direction}"])
        assert order[0] == first
        assert order[-2:] == [7, 5], order
    seen, token = [], None
    while True:
        page = client.search_runs(
            [number], "", max_results=5, order_by=["metrics.`a b` DESC"], page_token=token
        )
        seen += [ids.index(run.info.run_id) for run in page]
        token = page.token
        if not token:
            break
    assert sorted(seen) == list(range(12))
    client.delete_run(ids[0])
    assert len(client.search_runs([number], "", run_view_type=ViewType.DELETED_ONLY)) == 1
    assert len(client.search_runs([number], "", run_view_type=ViewType.ALL)) == 12
    for bad in (
        "metrics.a >",
        "metrics.a > 'x'",
        "params.a = 3",
        "nonsense.a = 'b'",
        "params.a LIKE",
        "a b c",
        "tags.x = 'y' OR tags.z = 'w'",
    ):
        refused(lambda bad=bad: client.search_runs([number], bad), "INVALID_PARAMETER_VALUE")  # type: ignore[misc]
    refused(lambda: client.search_runs([number], "", page_token="no token"), "INVALID_PARAMETER_VALUE")
    assert client.search_runs([], "") == []


def inputs(client: MlflowClient, options: argparse.Namespace) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    number = client.create_experiment(f"inputs {options.mark}")
    run_id = client.create_run(number).info.run_id
    data = Dataset(name="flights", digest="abc", source_type="local", source="{}", schema="{}", profile="{}")
    client.log_inputs(run_id, [DatasetInput(data, [InputTag("mlflow.data.context", "training")])])
    read = client.get_run(run_id).inputs
    assert read is not None
    [back] = read.dataset_inputs
    assert back.dataset.to_dictionary() == data.to_dictionary()
    assert [(tag.key, tag.value) for tag in back.tags] == [("mlflow.data.context", "training")]
    for text, count in (
        ("dataset.name = 'flights'", 1),
        ("datasets.digest = 'abc' AND dataset.context = 'training'", 1),
        ("dataset.context = 'test'", 0),
    ):
        assert len(client.search_runs([number], text)) == count, text


def artifacts(client: MlflowClient, options: argparse.Namespace) -> None:
    number = client.create_experiment(f"artifacts {options.mark}")
    run_id = client.create_run(number).info.run_id
    client.log_text(run_id, "hello", "notes/hello.txt")
    client.log_dict(run_id, {"a": [1, 2]}, "notes/deep/data.json")
    client.log_text(run_id, "ümlaut and 100 %", "odd name/100% ü+.txt")
    assert [(one.path, one.is_dir) for one in client.list_artifacts(run_id)] == [
        ("notes", True),
        ("odd name", True),
    ]
    assert [(one.path, one.is_dir, one.file_size) for one in client.list_artifacts(run_id, "notes")] == [
        ("notes/deep", True, None),
        ("notes/hello.txt", False, 5),
    ]
    assert client.list_artifacts(run_id, "notes/hello.txt") == []
    assert client.list_artifacts(run_id, "nowhere") == []
    with tempfile.TemporaryDirectory() as folder:
        local = Path(client.download_artifacts(run_id, "notes", folder))
        assert (local / "hello.txt").read_text() == "hello"
        assert json.loads((local / "deep" / "data.json").read_text()) == {"a": [1, 2]}
        odd = client.download_artifacts(run_id, "odd name/100% ü+.txt", folder)
        assert Path(odd).read_text() == "ümlaut and 100 %"
    client.log_text(run_id, "changed", "notes/hello.txt")
    assert mlflow.artifacts.load_text(f"runs:/{run_id}/notes/hello.txt") == "changed"
    _large_file(client, run_id, options.large_mb)
    _small_files(client, run_id, options.files)


def _large_file(client: MlflowClient, run_id: str, megabytes: int) -> None:
    block = os.urandom(1 << 20)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "large.bin"
        with source.open("wb") as file:
            for place in range(megabytes):
                file.write(place.to_bytes(8, "little") + block[8:])
        client.log_artifact(run_id, str(source))
        back = Path(client.download_artifacts(run_id, "large.bin", tempfile.mkdtemp(dir=folder)))
        assert _digest(back) == _digest(source)


def _small_files(client: MlflowClient, run_id: str, count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "many"
        source.mkdir()
        for i in range(count):
            (source / f"{i:05}.txt").write_text(f"file {i}\n" * 50)
        client.log_artifacts(run_id, str(source), "many")
        assert len(client.list_artifacts(run_id, "many")) == count
        back = Path(client.download_artifacts(run_id, "many", tempfile.mkdtemp(dir=folder)))
        assert sorted(one.read_text() for one in back.iterdir()) == sorted(
            one.read_text() for one in source.iterdir()
        )


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def logged_models(client: MlflowClient, options: argparse.Namespace) -> None:
    number = client.create_experiment(f"models {options.mark}")
    run_id = client.create_run(number).info.run_id
    model = client.create_logged_model(
        number, name="first", source_run_id=run_id, tags={"a": "b"}, params={"depth": "3"}, model_type="agent"
    )
    assert model.model_id.startswith("m-")
    assert (str(model.status), model.source_run_id, model.model_type) == ("PENDING", run_id, "agent")
    assert model.artifact_location == f"mlflow-artifacts:/{number}/models/{model.model_id}/artifacts"
    client.log_metric(run_id, "auc", 0.7, model_id=model.model_id, timestamp=NOW, step=1)
    client.log_metric(run_id, "auc", 0.9, model_id=model.model_id, timestamp=NOW, step=2)
    client.set_logged_model_tags(model.model_id, {"c": "d"})
    client.delete_logged_model_tag(model.model_id, "a")
    refused(lambda: client.delete_logged_model_tag(model.model_id, "a"), "RESOURCE_DOES_NOT_EXIST")
    client.finalize_logged_model(model.model_id, "READY")
    found = client.get_logged_model(model.model_id)
    assert (str(found.status), found.params, found.tags) == ("READY", {"depth": "3"}, {"c": "d"})
    assert [(one.key, one.value) for one in found.metrics or []] == [("auc", 0.9)]
    second = client.create_logged_model(number, name="second")
    for text, names in (
        ("name = 'first'", ["first"]),
        ("metrics.auc > 0.8", ["first"]),
        ("metrics.auc > 0.95", []),
        ("params.depth = '3' AND tags.c LIKE 'd%'", ["first"]),
        ("creation_timestamp > 0", ["second", "first"]),
    ):
        assert [one.name for one in client.search_logged_models([number], text)] == names, text
    ordered = client.search_logged_models([number], order_by=[{"field_name": "name", "ascending": True}])
    assert [one.name for one in ordered] == ["first", "second"]
    page = client.search_logged_models([number], max_results=1)
    rest = client.search_logged_models([number], max_results=1, page_token=page.token)
    assert [page[0].name, rest[0].name] == ["second", "first"]
    client.delete_logged_model(second.model_id)
    refused(lambda: client.get_logged_model(second.model_id), "RESOURCE_DOES_NOT_EXIST")


def registry(client: MlflowClient, options: argparse.Namespace) -> None:
    name = f"tour-{options.mark}"
    number = client.create_experiment(f"registry {options.mark}")
    run_id = client.create_run(number).info.run_id
    client.log_text(run_id, "flavors: {}", "model/MLmodel")
    client.log_text(run_id, "weights", "model/data/weights.bin")
    made = client.create_registered_model(name, tags={"a": "b"}, description="what it is")
    assert (made.name, made.tags, made.description) == (name, {"a": "b"}, "what it is")
    refused(lambda: client.create_registered_model(name), "RESOURCE_ALREADY_EXISTS")
    refused(lambda: client.get_registered_model("nowhere"), "RESOURCE_DOES_NOT_EXIST")
    refused(
        lambda: client.create_model_version("nowhere", f"runs:/{run_id}/model", run_id),
        "RESOURCE_DOES_NOT_EXIST",
    )

    source = f"mlflow-artifacts:/{number}/{run_id}/artifacts/model"
    first = client.create_model_version(name, source, run_id, tags={"t": "u"}, description="one")
    again = client.create_model_version(name, f"runs:/{run_id}/model", run_id)
    assert [one.version for one in (first, again)] == ["1", "2"]
    assert (first.status, first.current_stage, first.run_id, first.tags) == (
        "READY",
        "None",
        run_id,
        {"t": "u"},
    )
    for bad in (
        "/etc/passwd",
        "file:///etc",
        "http://example.org/x",
        "s3://bucket/x",
        f"mlflow-artifacts:/{number}/../x",
        "runs:/nowhere/x",
    ):
        try:
            client.create_model_version(name, bad, run_id)
        except MlflowException:
            continue
        raise AssertionError(bad)

    client.update_model_version(name, "1", description="changed")
    client.set_model_version_tag(name, "1", "k", "v")
    client.delete_model_version_tag(name, "1", "t")
    found = client.get_model_version(name, "1")
    assert (found.description, found.tags) == ("changed", {"k": "v"})
    uri = client.get_model_version_download_uri(name, "1")
    with tempfile.TemporaryDirectory() as folder:
        local = Path(mlflow.artifacts.download_artifacts(uri, dst_path=folder))
        assert (local / "MLmodel").read_text() == "flavors: {}"
        assert (local / "data" / "weights.bin").read_text() == "weights"
        local = Path(
            mlflow.artifacts.download_artifacts(f"models:/{name}/2", dst_path=tempfile.mkdtemp(dir=folder))
        )
        assert (local / "data" / "weights.bin").read_text() == "weights"

    client.set_registered_model_alias(name, "champion", "1")
    client.set_registered_model_alias(name, "champion", "2")
    assert client.get_model_version_by_alias(name, "champion").version == "2"
    assert client.get_registered_model(name).aliases == {"champion": "2"}
    assert client.get_model_version(name, "2").aliases == ["champion"]
    client.delete_registered_model_alias(name, "champion")
    refused(lambda: client.get_model_version_by_alias(name, "champion"), "INVALID_PARAMETER_VALUE")
    refused(lambda: client.set_registered_model_alias(name, "x", "99"), "RESOURCE_DOES_NOT_EXIST")

    client.transition_model_version_stage(name, "1", "production")
    client.transition_model_version_stage(name, "2", "Production", archive_existing_versions=True)
    assert client.get_model_version(name, "1").current_stage == "Archived"
    latest = client.get_latest_versions(name, ["Production", "Archived"])
    assert sorted((one.version, one.current_stage) for one in latest) == [
        ("1", "Archived"),
        ("2", "Production"),
    ]
    refused(lambda: client.transition_model_version_stage(name, "1", "Nowhere"), "INVALID_PARAMETER_VALUE")


def registered(client: MlflowClient, options: argparse.Namespace) -> None:
    name, other = f"again-{options.mark}", f"again-{options.mark}-other"
    number = client.create_experiment(f"registered {options.mark}")
    run_id = client.create_run(number).info.run_id
    client.log_text(run_id, "flavors: {}", "model/MLmodel")
    source = f"mlflow-artifacts:/{number}/{run_id}/artifacts/model"
    client.create_registered_model(name, tags={"a": "b"}, description="what it is")
    for _ in range(2):
        client.create_model_version(name, source, run_id)
    client.set_model_version_tag(name, "1", "k", "v")
    client.update_registered_model(name, "better")
    client.set_registered_model_tag(name, "c", "d")
    client.delete_registered_model_tag(name, "a")
    client.create_registered_model(other)
    copied = client.copy_model_version(f"models:/{name}/1", f"{other}-copy")
    assert copied.version == "1"
    models = client.search_registered_models(f"name LIKE 'again-{options.mark}%'", order_by=["name DESC"])
    assert [one.name for one in models] == [f"{other}-copy", other, name]
    assert [one.name for one in client.search_registered_models(f"name ILIKE '{name}' AND tags.c = 'd'")] == [
        name
    ]
    versions = client.search_model_versions(f"name = '{name}'")
    assert [one.version for one in versions] == ["2", "1"] or len(versions) == 2
    assert len(client.search_model_versions(f"name = '{name}' AND run_id = '{run_id}' AND tags.k = 'v'")) == 1
    client.rename_registered_model(name, f"{name}-new")
    renamed = client.get_registered_model(f"{name}-new")
    assert (renamed.name, renamed.description, renamed.tags) == (f"{name}-new", "better", {"c": "d"})
    client.delete_model_version(f"{name}-new", "2")
    refused(lambda: client.get_model_version(f"{name}-new", "2"), "RESOURCE_DOES_NOT_EXIST")
    third = client.create_model_version(f"{name}-new", source, run_id)
    assert third.version == "3"
    client.delete_registered_model(f"{name}-new")
    refused(lambda: client.get_registered_model(f"{name}-new"), "RESOURCE_DOES_NOT_EXIST")

    prompt = (
        mlflow.genai.register_prompt(f"{other}-prompt", "Hello {{ name }}")
        if hasattr(mlflow, "genai")
        else None
    )
    assert prompt is None or prompt.version == 1
    assert f"{other}-prompt" not in [one.name for one in client.search_registered_models()]


def traces(client: MlflowClient, options: argparse.Namespace) -> None:
    mlflow.set_experiment(f"traces {options.mark}")
    number = number_of(client, f"traces {options.mark}")

    @mlflow.trace
    def double(x: int) -> int:
        return 2 * x

    double(21)
    mlflow.flush_trace_async_logging()
    trace_id = mlflow.get_last_active_trace_id()
    assert trace_id is not None
    found = client.get_trace(trace_id)
    assert [span.name for span in found.data.spans] == ["double"]
    assert found.data.spans[0].outputs == 42
    client.set_trace_tag(trace_id, "a", "b")
    client.set_trace_tag(trace_id, "c", "d")
    client.delete_trace_tag(trace_id, "a")
    feedback = mlflow.log_feedback(trace_id=trace_id, name="good", value=True, rationale="it is")
    assert feedback.assessment_id is not None
    assert mlflow.get_assessment(trace_id, feedback.assessment_id).name == "good"
    mlflow.delete_assessment(trace_id, feedback.assessment_id)
    mlflow.log_expectation(trace_id=trace_id, name="answer", value=42)
    [searched] = mlflow.search_traces(
        [number], filter_string="tags.c = 'd' AND trace.status = 'OK'", return_type="list"
    )
    assert [one.name for one in searched.info.assessments] == ["answer"]
    assert mlflow.search_traces([number], filter_string="tags.a = 'b'", return_type="list") == []
    assert client.delete_traces(number, trace_ids=[trace_id]) == 1
    refused(lambda: client.get_trace(trace_id), "RESOURCE_DOES_NOT_EXIST")


STOPS = (
    experiments,
    runs,
    fluent,
    histories,
    searches,
    inputs,
    artifacts,
    logged_models,
    registry,
    registered,
    traces,
)


def main() -> None:
    """Make the tour."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--stops", default=",".join(stop.__name__ for stop in STOPS))
    parser.add_argument("--large-mb", type=int, default=12)
    parser.add_argument("--files", type=int, default=25)
    parser.add_argument("--points", type=int, default=2500)
    options = parser.parse_args()
    options.mark = f"{time.time_ns():x}"
    mlflow.set_tracking_uri(options.url)
    made: dict[str, float] = {}
    for stop in STOPS:
        if stop.__name__ in options.stops.split(","):
            began = time.monotonic()
            stop(MlflowClient(options.url), options)
            made[stop.__name__] = round(time.monotonic() - began, 2)
    print(json.dumps({"mlflow": mlflow.__version__, "stops": made}))  # noqa: T201 - a program


if __name__ == "__main__":
    main()
