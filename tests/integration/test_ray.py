"""Pipelines on a Ray of this machine: the same results as in processes, and nothing left when a step or a run is ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests import clusters
from tests.integration.test_bad_steps import are_gone, is_running, wait_for
from tests.integration.test_schedules_cli import everloop

import everloop as el
from everloop.data.service import Data
from everloop.pipelines.bundles import import_file, pipelines_in
from everloop.pipelines.executors.process import close_idle_workers
from everloop.pipelines.service import Pipelines
from everloop.tracking import Tracking

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import MakeKernel

    from everloop.pipelines.records import PipelineRun
    from everloop.pipelines.steps import AnyPipeline

pytestmark = [pytest.mark.ray, pytest.mark.integration]
ROOT = Path(__file__).resolve().parents[2]

FLOW = """
import os, pathlib, signal, subprocess, time
import numpy as np
import pyarrow as pa
from everloop.pipelines import pipeline, step

@step
def numbers(n: int) -> list[int]:
    return list(range(n))

@step
def square(x: int) -> int:
    return x * x

@step
def total(xs: list[int]) -> int:
    return sum(xs)

@pipeline
def squares(n: int) -> int:
    return total(square.map(numbers(n)))

@step
def flights(n: int) -> pa.Table:
    source = np.random.default_rng(0)
    return pa.table({"carrier": source.integers(0, 5, n), "delay": source.normal(size=n)})

@step
def matrix(rows: pa.Table) -> np.ndarray:
    return np.column_stack([rows["carrier"].to_numpy(), rows["delay"].to_numpy()])

@step
def fit(x: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
    mean = x.mean(axis=0)
    return mean, {"delay": float(mean[1])}

@pipeline
def delays(n: int) -> tuple[np.ndarray, dict[str, float]]:
    mean, facts = fit(matrix(flights(n)))
    return mean, facts

@step(retries=1, backoff=0.01)
def shot_once(folder: str, whom: str) -> str:
    marker = pathlib.Path(folder, "pids")
    if not marker.exists():
        pathlib.Path(folder, "written").write_text(f"{os.getpid()} {os.getppid()}")
        os.rename(pathlib.Path(folder, "written"), marker)
        os.kill(os.getpid() if whom == "worker" else os.getppid(), signal.SIGKILL)
        time.sleep(300)
    return "alive"

@pipeline
def shot(folder: str, whom: str) -> str:
    return shot_once(folder, whom)

@step
def stay(folder: str) -> int:
    child = subprocess.Popen(["sleep", "300"], start_new_session=True)
    pathlib.Path(folder, "written").write_text(f"{os.getpid()} {child.pid}")
    os.rename(pathlib.Path(folder, "written"), pathlib.Path(folder, "pids"))
    time.sleep(300)
    return 1

@pipeline
def staying(folder: str) -> int:
    return stay(folder)

@step(cpus=99)
def huge() -> int:
    return 1

@step(gpus=2, memory="1GiB")
def accelerated() -> int:
    return 1

@pipeline
def too_large() -> tuple[int, int]:
    return huge(), accelerated()

@step(cpus=3)
def large() -> int:
    return os.cpu_count() or 0

@pipeline
def spread() -> tuple[int, int]:
    return large(), square(4)
"""


@pytest.fixture
def pipelines(make_kernel: MakeKernel, ray_address: str) -> Iterator[Pipelines]:
    kernel = make_kernel(executor="ray", executor_address=ray_address)
    yield Pipelines(kernel, data=Data(kernel), tracking=Tracking(kernel))
    close_idle_workers()


@pytest.fixture
def flows(tmp_path: Path) -> dict[str, AnyPipeline]:
    file = tmp_path / "ray_flow.py"
    file.write_text(FLOW)
    sys.modules.pop(file.stem, None)
    return pipelines_in(import_file(file))


def nodes_of(pipelines: Pipelines, run: PipelineRun, node: str = "") -> set[str]:
    """Return the nodes of the cluster that made the attempts of a run."""
    return {attempt.worker.split("/")[1] for attempt in pipelines.attempts(run.id, node=node)}


def test_a_map_over_a_thousand_items_takes_each_once(
    pipelines: Pipelines, flows: dict[str, AnyPipeline]
) -> None:
    run = pipelines.run(flows["squares"], {"n": 1000})

    assert pipelines.result(run) == sum(x * x for x in range(1000))
    attempts = pipelines.attempts(run.id)
    assert len(attempts) == 1002
    assert {attempt.status for attempt in attempts} == {"done"}


def told(pipelines: Pipelines, run: PipelineRun) -> list[tuple[str, Any]]:
    """Return the events about a run, without what differs from run to run."""
    return [
        (event.kind, sorted(event.payload)) for event in pipelines.kernel.events.read(subject=f"run:{run.id}")
    ]


def digests(run: PipelineRun) -> dict[str, list[str]]:
    return {step.node: [artifact.digest for artifact in step.outputs] for step in run.steps}


def test_processes_and_ray_tell_the_same_events_and_make_the_same_bytes(
    pipelines: Pipelines, flows: dict[str, AnyPipeline]
) -> None:
    changes: dict[str, list[tuple[str, str]]] = {"process": [], "ray": []}

    def run(name: str) -> PipelineRun:
        def listen(node: str, status: str, reason: str) -> None:
            del reason
            changes[name].append((node, status))

        return pipelines.run(flows["delays"], {"n": 5000}, executor=name, cache=False, listener=listen)

    runs = {name: run(name) for name in changes}

    assert changes["ray"] == changes["process"]
    assert len(changes["ray"]) == 6
    assert told(pipelines, runs["ray"]) == told(pipelines, runs["process"]) != []
    assert digests(runs["ray"]) == digests(runs["process"])
    assert runs["ray"].outputs == runs["process"].outputs != []


@pytest.mark.parametrize("whom", ["worker", "host"])
def test_a_process_that_is_killed_loses_its_attempt_and_the_step_is_tried_again(
    pipelines: Pipelines, flows: dict[str, AnyPipeline], tmp_path: Path, whom: str
) -> None:
    """Killed is the process of the step, or the process of Ray that hosts it."""
    run = pipelines.run(flows["shot"], {"folder": str(tmp_path), "whom": whom})

    lost, done = pipelines.attempts(run.id)
    assert (lost.status, done.status) == ("lost", "done")
    assert ("SIGKILL" if whom == "worker" else "WorkerCrashedError") in lost.error
    worker, _ = map(int, (tmp_path / "pids").read_text().split())
    until = time.monotonic() + 20
    while is_running(worker):
        assert time.monotonic() < until
        time.sleep(0.02)


def test_cancelling_a_run_ends_all_its_step_started(
    pipelines: Pipelines, flows: dict[str, AnyPipeline], tmp_path: Path
) -> None:
    thread = threading.Thread(target=pipelines.run, args=(flows["staying"], {"folder": str(tmp_path)}))
    thread.start()
    wait_for(tmp_path / "pids")
    (record,) = pipelines.runs(status="running")

    pipelines.cancel(record.id)

    assert are_gone(tmp_path)
    thread.join(60)
    assert pipelines.get(record.id).status == "cancelled"


def test_a_step_that_no_node_can_hold_fails_and_says_what_there_is(
    pipelines: Pipelines, flows: dict[str, AnyPipeline]
) -> None:
    run = pipelines.run(flows["too_large"])

    assert run.status == "failed"
    errors = {attempt.node: attempt.error for attempt in pipelines.attempts(run.id)}
    assert errors["huge"] == (
        "NoSuchNodeError: the step needs 99 CPUs on one node; the cluster has 2 CPUs. Add a node, or ask for less (`cpus=`,"
        " `gpus=`, `memory=`)."
    )
    assert "1 CPUs, 2 GPUs, 1,024 MiB of memory" in errors["accelerated"]
    assert "2 CPUs, 0 GPUs" in errors["accelerated"]


def test_a_second_node_gets_what_the_first_cannot_hold(
    pipelines: Pipelines, flows: dict[str, AnyPipeline], ray_address: str
) -> None:
    first = nodes_of(pipelines, pipelines.run(flows["squares"], {"n": 3}))
    with clusters.another_node(ray_address, cpus=4):
        run = pipelines.run(flows["spread"], cache=False)

        assert run.status == "finished", run.error
        (second,) = nodes_of(pipelines, run, "large")
        assert {second} != first


def test_a_training_on_two_processes_is_the_training_on_one(pipelines: Pipelines) -> None:
    sys.modules.pop("train", None)
    module = import_file(ROOT / "examples" / "parallel" / "train.py")
    train = pipelines_in(module)["train"]

    on_ray = pipelines.run(train, {"count": 4000}, executor="ray")
    in_processes = pipelines.run(train, {"count": 4000}, executor="process", workers=2, cache=False)

    weights: np.ndarray = pipelines.result(on_ray)
    np.testing.assert_array_equal(weights, pipelines.result(in_processes))
    np.testing.assert_allclose(weights, train(count=4000))
    np.testing.assert_allclose(weights, [0.3, 1.5, -2.0, 0.5, 0.0], atol=0.25)
    made = [attempt for attempt in pipelines.attempts(on_ray.id) if attempt.node.startswith("gradient")]
    assert len({attempt.worker for attempt in made}) == 2


def test_the_scheduler_of_up_gives_queued_runs_to_the_cluster(tmp_path: Path, ray_address: str) -> None:
    (tmp_path / "ray_flow.py").write_text(FLOW)
    assert everloop(tmp_path, "pipeline", "register", "ray_flow.py:squares").returncode == 0
    started = everloop(tmp_path, "-o", "json", "pipeline", "submit", "squares", "-p", "n=3")
    assert started.returncode == 0, started.stderr
    run = json.loads(started.stdout)["run"]
    command = [sys.executable, "-m", "everloop", "up", "--role", "scheduler", "--executor", "ray", "--address", ray_address]  # fmt: skip
    scheduler = subprocess.Popen(command, cwd=tmp_path, env=os.environ.copy())
    try:
        with el.connect(home=tmp_path / ".everloop") as app:
            until = time.monotonic() + 60
            while app.pipelines.get(run).status not in {"finished", "failed"}:
                assert time.monotonic() < until
                assert scheduler.poll() is None
                time.sleep(0.1)
            assert app.pipelines.result(run) == 5
            assert all("/ray-" in attempt.worker for attempt in app.pipelines.attempts(run))
    finally:
        scheduler.terminate()
        assert scheduler.wait(30) == 0
