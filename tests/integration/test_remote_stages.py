"""Every stage works the same through a server: `connect(url)` in this process, the home in another."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

import everloop
from everloop.app import STAGES, App
from everloop.core.errors import InvalidInputError
from everloop.pipelines.bundles import import_file, pipelines_in
from everloop.pipelines.inputs import InvalidPipelineInputError
from everloop.registry import Model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.conftest import Server

    from everloop.pipelines.steps import AnyPipeline

pytestmark = pytest.mark.integration

FLOW = """
from pathlib import Path
from everloop.data.table import Table
from everloop.pipelines import pipeline, step

@step
def count(rows: Table, least: int) -> dict[str, int]:
    found = rows.to_arrow()["a"].to_pylist()
    return {"rows": sum(value >= least for value in found)}

@pipeline
def counted(rows: Table, least: int = 0) -> dict[str, int]:
    return count(rows, least)

@step(cache=False)
def pass_gate(gate: str) -> int:
    if not Path(gate).exists():
        raise OSError("shut")
    return 1

@pipeline
def gated(gate: str) -> int:
    return pass_gate(gate)
"""
WORK = "import sys, everloop\nwith everloop.connect(home=sys.argv[1]) as app:\n    app.pipelines.work(once=True)\n"
FRAME = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": ["x", "y", None]})


@pytest.fixture(scope="module")
def app(api_server: Server) -> Iterator[App]:
    with everloop.connect(api_server.url, token=api_server.token) as made:
        yield made


@pytest.fixture(scope="module")
def flows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, AnyPipeline]:
    file = tmp_path_factory.mktemp("project") / "remote_flow.py"
    file.write_text(FLOW)
    return pipelines_in(import_file(file))


def work(server: Server) -> None:
    """Let a worker beside the server's home execute one run."""
    subprocess.run([sys.executable, "-c", WORK, str(server.home)], check=True, timeout=60)


def test_a_client_needs_no_home(api_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    with everloop.connect(api_server.url, token=api_server.token) as app:
        assert len(app.services) == len(STAGES)
        app.data.add("numbers", FRAME)
        app.serving.flush()

    assert list(tmp_path.iterdir()) == []


def test_a_frame_is_added_and_read_back(app: App) -> None:
    version = app.data.add("flights", FRAME, message="first")

    assert (version.ref, version.rows) == ("flights@v1", 3)
    pd.testing.assert_frame_equal(app.data.read("flights").to_pandas(), FRAME)
    assert app.data.add("flights", FRAME).is_unchanged


def test_a_run_is_tracked_and_its_artifact_read_back(app: App) -> None:
    with app.tracking.start(experiment="remote", params={"trees": 80}) as run:
        run.log(loss=0.5)
        run.log_artifact("report", b"good")

    kept = app.tracking.get_run(run.id)

    assert (kept.status, kept.params, kept.metrics[0].value) == ("finished", {"trees": 80}, 0.5)
    assert app.kernel.objects.get(app.tracking.artifacts(run.id)[0].digest) == b"good"


def test_a_pipeline_is_registered_here_run_by_a_worker_there_and_its_result_read_here(
    app: App, api_server: Server, flows: dict[str, AnyPipeline]
) -> None:
    app.data.add("rows", FRAME)
    queued = app.pipelines.submit(flows["counted"], {"rows": "rows@v1", "least": 2})
    worker = subprocess.Popen([sys.executable, "-c", WORK, str(api_server.home)])
    assert worker.wait(60) == 0

    run = app.pipelines.get(queued.id)

    assert run.status == "finished"
    assert app.pipelines.result(run) == app.pipelines.output(run, "count") == {"rows": 2}
    assert [item.ref for item in app.tracking.get_run(run.id).inputs] == ["rows@v1"]


def test_run_waits_for_the_server(app: App, api_server: Server, flows: dict[str, AnyPipeline]) -> None:
    app.data.add("rows", FRAME)
    app.pipelines.register(flows["counted"])
    loop = "import sys, time, everloop\nwith everloop.connect(home=sys.argv[1]) as app:\n    while not app.pipelines.work(once=True):\n        time.sleep(0.05)\n"
    with subprocess.Popen([sys.executable, "-c", loop, str(api_server.home)]) as worker:
        run = app.pipelines.run("counted", {"rows": "rows@v1"})
        assert worker.wait(60) == 0

    assert app.pipelines.result(run) == {"rows": 3}


def test_a_failed_run_is_resumed_on_the_server(
    app: App, api_server: Server, flows: dict[str, AnyPipeline], tmp_path: Path
) -> None:
    run = app.pipelines.submit(flows["gated"], {"gate": str(tmp_path / "gate")})
    work(api_server)
    assert app.pipelines.get(run.id).status == "failed"
    (tmp_path / "gate").touch()

    app.pipelines.requeue(run.id)
    work(api_server)

    assert app.pipelines.result(run.id) == 1


def test_rows_in_memory_cannot_wait_in_a_queue(app: App, flows: dict[str, AnyPipeline]) -> None:
    with pytest.raises(InvalidPipelineInputError, match="Add rows as a dataset"):
        app.pipelines.submit(flows["counted"], {"rows": FRAME})


def test_a_model_is_registered_aliased_scored_and_deployed(app: App) -> None:
    rows = pd.DataFrame({"a": [0.0, 1.0, 2.0], "y": [0.0, 2.0, 4.0]})
    model = Model(
        LinearRegression().fit(rows[["a"]].to_numpy(), rows["y"]), features=["a"], target="y", example=rows
    )

    version = app.registry.register("delays", model, metrics={"mae": 0.1})
    app.registry.set_alias("delays", "champion", version=version.version)
    routing = app.serving.deploy("delays", "delays@champion")

    assert version.ref == "delays@v1"
    assert np.allclose(app.registry.score("delays@champion", rows), rows["y"])
    assert app.serving.get("delays") == routing
    assert routing.weights == {1: 1.0}


def test_an_error_whose_class_only_the_server_knows_keeps_its_family(app: App) -> None:
    fields = {"expression": 3}

    with pytest.raises(InvalidInputError, match="add_schedule: Expected `str`, got `int`"):
        app.pipelines.add_schedule("counted", cron=fields["expression"])  # type: ignore[arg-type] # on purpose
