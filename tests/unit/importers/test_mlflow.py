"""Runs of MLflow, from the files that its own client wrote."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.importers.conftest import points

from everloop.importers import bring, open_source

if TYPE_CHECKING:
    from pathlib import Path

    from everloop.tracking import Tracking

pytestmark = pytest.mark.filterwarnings("ignore")  # of MLflow


@pytest.fixture
def client_of(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow = pytest.importorskip("mlflow")
    return mlflow.tracking.MlflowClient


def fill(client: Any, folder: Path) -> dict[str, str]:
    """Make a parent with two children, one of them failed, and one in the trash; return their ids by name."""
    experiment = client.create_experiment("delays", artifact_location=str(folder / "artifacts"))
    ids: dict[str, str] = {}
    for name in ("parent", "child", "failed", "gone"):
        tags = {"mlflow.parentRunId": ids["parent"], "team": "risk"} if name == "child" else {}
        run = client.create_run(experiment, run_name=name, tags=tags).info.run_id
        ids[name] = run
        client.log_param(run, "lr", 0.1)
        client.log_param(run, "layers", "[1, 2]")
        client.log_param(run, "flag", True)
        for step in range(5):
            client.log_metric(run, "loss", 1 / (step + 1), timestamp=1_700_000_000_000 + step, step=step)
        client.log_metric(run, "valid/auc", 0.9, timestamp=1_700_000_000_000, step=-3)
        for step, value in enumerate((float("nan"), float("inf"), float("-inf"))):
            client.log_metric(run, "odd", value, timestamp=1_700_000_000_000, step=step)
        client.set_tag(run, "mlflow.note.content", "a note")
    file = folder / "report.txt"
    file.write_text("all is well")
    client.log_artifact(ids["parent"], str(file), "notes/deep")
    client.set_terminated(ids["parent"], "FINISHED", end_time=1_900_000_000_000)
    client.set_terminated(ids["failed"], "FAILED")
    client.delete_run(ids["gone"])
    return ids


@pytest.mark.parametrize("store", ["files", "sqlite"])
def test_all_there_is_of_a_run_comes_once(
    tracking: Tracking, tmp_path: Path, client_of: Any, store: str
) -> None:
    place = tmp_path / ("mlruns" if store == "files" else "mlflow.db")
    try:
        client = client_of(f"file://{place}" if store == "files" else f"sqlite:///{place}")
        ids = fill(client, tmp_path)
    except ImportError as error:  # of what MLflow's server needs
        pytest.skip(f"this MLflow cannot write the store: {error}")

    report = bring(
        tracking,
        open_source(
            "mlflow", str(place), **({} if store == "files" else {"artifacts": str(tmp_path / "artifacts")})
        ),
    )

    assert (report.runs, report.new_runs, report.points, report.new_points) == (4, 4, 36, 36)
    parent, child, failed = (tracking.get_run(ids[name]) for name in ("parent", "child", "failed"))
    assert (parent.name, parent.experiment, parent.status, parent.note) == (
        "parent",
        "delays",
        "finished",
        "a note",
    )
    assert parent.params == {"lr": 0.1, "layers": "[1, 2]", "flag": "True"}
    assert parent.ended_at is not None
    assert parent.ended_at.timestamp() == 1_900_000_000
    assert (child.parent, child.tags["team"], child.status) == (parent.id, "risk", "running")
    assert failed.status == "failed"
    assert tracking.get_run(ids["gone"]).deleted_at is not None
    assert points(tracking, parent.id) == {
        "loss": [(step, 1 / (step + 1)) for step in range(5)],
        "valid/auc": [(-3, 0.9)],
        "odd": [(0, "nan"), (1, "inf"), (2, "-inf")],
    }
    assert [point.time.timestamp() for point in tracking.history(parent.id, name="valid/auc")] == [
        1_700_000_000
    ]
    if store == "sqlite":
        [artifact] = tracking.artifacts(parent.id)
        assert artifact.name == "notes/deep/report.txt"
        assert tracking.kernel.objects.get(artifact.digest) == b"all is well"

    again = bring(tracking, open_source("mlflow", str(place)))
    assert (again.new_runs, again.new_points) == (0, 0)
    client.log_metric(ids["child"], "loss", 0.01, step=2, timestamp=1_700_000_000_999)
    more = bring(tracking, open_source("mlflow", str(place)))
    assert (more.new_runs, more.new_points) == (0, 1)
    assert len(points(tracking, child.id)["loss"]) == 6


def test_a_dry_run_counts_and_writes_nothing(tracking: Tracking, tmp_path: Path, client_of: Any) -> None:
    fill(client_of(f"file://{tmp_path}/mlruns"), tmp_path)
    report = bring(tracking, open_source("mlflow", str(tmp_path / "mlruns")), dry_run=True)
    assert (report.is_dry, report.new_runs, report.new_points) == (True, 4, 36)
    assert tracking.list() == []


def test_artifacts_in_folders_of_runs_come_and_links_out_of_them_do_not(
    tracking: Tracking, tmp_path: Path, client_of: Any
) -> None:
    client = client_of(f"file://{tmp_path}/mlruns")
    run = client.create_run(client.create_experiment("e")).info.run_id
    client.log_text(run, "hello", "a/b.txt")
    secret = tmp_path / "secret"
    secret.write_text("not yours")
    (next((tmp_path / "mlruns").rglob("a/b.txt")).parent / "link").symlink_to(secret)
    bring(tracking, open_source("mlflow", str(tmp_path / "mlruns")))
    assert [artifact.name for artifact in tracking.artifacts(run)] == ["a/b.txt"]


def test_a_database_names_no_file_outside_the_given_folder(tracking: Tracking, tmp_path: Path) -> None:
    (tmp_path / "given").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("not yours")
    with sqlite3.connect(tmp_path / "m.db") as database:
        database.executescript(
            "CREATE TABLE experiments (experiment_id INTEGER, name TEXT); INSERT INTO experiments VALUES (1, 'e');"
            "CREATE TABLE runs (run_uuid TEXT, name TEXT, status TEXT, start_time INTEGER, end_time INTEGER, lifecycle_stage TEXT,"
            " artifact_uri TEXT, experiment_id INTEGER);"
            f"INSERT INTO runs VALUES ('{'a' * 32}', 'r', 'FINISHED', 1, 2, 'active', '../outside', 1);"
            "CREATE TABLE params (run_uuid TEXT, key TEXT, value TEXT); CREATE TABLE tags (run_uuid TEXT, key TEXT, value TEXT);"
            "CREATE TABLE metrics (run_uuid TEXT, key TEXT, value REAL, step INTEGER, timestamp INTEGER, is_nan BOOLEAN);"
        )
    report = bring(tracking, open_source("mlflow", str(tmp_path / "m.db"), artifacts=str(tmp_path / "given")))
    assert tracking.artifacts("a" * 32) == []
    assert "--artifacts" in report.losses[0].reason
