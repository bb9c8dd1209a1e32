"""The app puts the stages together: made on first use, the same each time, closed with what they started."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import everloop
from everloop.app import STAGES
from everloop.pipelines.bundles import import_file, pipelines_in

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    import pytest

    from everloop.core.clock import ManualClock

FLOW = """
import os
from everloop.pipelines import pipeline, step
@step
def who() -> int:
    return os.getpid()
@pipeline
def flow() -> int:
    return who()
"""


def test_stages_are_made_once_over_one_kernel(tmp_path: Path) -> None:
    with everloop.connect(home=tmp_path / "home") as app:
        assert [service.stage for service in app.services] == list(STAGES)
        assert all(service.kernel is app.kernel for service in app.services)
        assert app.data is app.data


def test_what_a_run_logged_is_home_when_the_app_is_closed_before_the_run_ends(tmp_path: Path) -> None:
    with everloop.connect(home=tmp_path / "home") as app:
        run = app.tracking.start()
        run.log(loss=0.5)
    run.log(loss=0.4)  # too late, and no error
    with everloop.connect(home=tmp_path / "home") as app:
        found = app.tracking.get_run(run.id)
    assert (found.status, [metric.value for metric in found.metrics]) == ("running", [0.5])


def test_a_program_that_only_logs_loads_no_model_library(tmp_path: Path) -> None:
    code = (
        "import sys, everloop\n"
        "with everloop.connect(home=sys.argv[1]) as app:\n"
        "    with app.tracking.start() as run: run.log(loss=1.0)\n"
        "print({'duckdb', 'pandas', 'sklearn', 'lightgbm'} & set(sys.modules))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True, text=True
    )

    assert done.stdout.strip() == "set()"


def test_a_pass_over_an_empty_home_does_nothing(tmp_path: Path, clock: ManualClock) -> None:
    with everloop.connect(home=tmp_path / "home", clock=clock) as app:
        app.tick()

        assert app.kernel.events.read() == []


def test_a_home_in_simulated_time_keeps_its_time(tmp_path: Path, clock: ManualClock) -> None:
    start: datetime = clock.now()
    with everloop.connect(home=tmp_path / "home", simulate_from=start):
        pass

    with everloop.connect(home=tmp_path / "home", simulate_from=start.replace(year=2000)) as app:
        assert app.kernel.clock.now() == start


def test_closing_ends_the_idle_workers_of_pipelines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "app_flow.py").write_text(FLOW)
    monkeypatch.syspath_prepend(str(tmp_path))
    flow = pipelines_in(import_file(tmp_path / "app_flow.py"))["flow"]
    with everloop.connect(home=tmp_path / "home") as app:
        worker = app.pipelines.result(app.pipelines.run(flow, executor="process"))
        assert is_running(worker)

    assert not is_running(worker)


def is_running(process: int) -> bool:
    return subprocess.run(["kill", "-0", str(process)], check=False, capture_output=True).returncode == 0  # noqa: S607 - kill of the system
