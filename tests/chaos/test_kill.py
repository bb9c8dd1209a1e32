"""A run killed at any commit point ends, once resumed, in the state of an unbroken run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from everloop.data.service import Data
from everloop.kernel.runtime import open_kernel
from everloop.kernel.settings import Settings
from everloop.pipelines.service import Pipelines
from everloop.pipelines.tables import step_attempt
from everloop.tracking import Tracking

if TYPE_CHECKING:
    from everloop.kernel.operations import Kernel

pytestmark = [pytest.mark.chaos, pytest.mark.integration, pytest.mark.slow]
PROGRAM = str(Path(__file__).parent / "programs.py")


def start(home: Path, url: str, number: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, PROGRAM, "run_and_die", str(home), url, str(number)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def open_here(home: Path, url: str) -> tuple[Kernel, Pipelines]:
    kernel = open_kernel(Settings(home=home, catalog_url=url))
    return kernel, Pipelines(kernel, data=Data(kernel), tracking=Tracking(kernel))


def state(pipelines: Pipelines, run_id: str) -> object:
    """What must be equal: results by digest, states, metrics of the tracked run, kinds of its events."""
    run = pipelines.get(run_id)
    tracked = pipelines.tracking.get_run(run_id)
    steps = [(item.node, [artifact.digest for artifact in item.outputs]) for item in run.steps]
    metrics = [(metric.name, metric.value) for metric in tracked.metrics]
    kinds = {event.kind for event in pipelines.kernel.events.read(subject=f"run:{run_id}")}
    return run.status, steps, pipelines.result(run), tracked.status, metrics, kinds


def test_kill_at_every_commit_point_then_resume(tmp_path: Path, catalog_url: str) -> None:
    whole = start(tmp_path / "home", catalog_url, 0)
    assert whole.returncode == 0, whole.stderr
    run_id, points, _ = whole.stdout.split()
    kernel, pipelines = open_here(tmp_path / "home", catalog_url)
    expected = state(pipelines, run_id)

    for number in range(1, int(points) + 1):
        with kernel.catalog.transaction() as connection:
            connection.execute(sa.text("DELETE FROM step_cache"))
        before = {run.id for run in pipelines.runs()}
        killed = start(tmp_path / "home", catalog_url, number)
        assert killed.returncode == -9, f"point {number}: {killed.stderr}"
        left = [run for run in pipelines.runs() if run.id not in before]
        if not left:  # killed before the run existed: nothing was acknowledged
            continue
        # A map has no attempt of its own, its items have.
        steps = pipelines.get(left[0].id).steps
        done = [item.node for item in steps if item.status == "done" and item.outputs]

        resumed = pipelines.resume(left[0].id)

        assert state(pipelines, resumed.id) == expected, f"point {number}"
        with kernel.catalog.read() as connection:
            tries = connection.execute(
                sa.select(step_attempt).where(step_attempt.c.run_id == resumed.id)
            ).all()
        assert all(sum(item.node == node for item in tries) == 1 for node in done), (
            f"point {number}: a finished step ran again"
        )
    kernel.close()
