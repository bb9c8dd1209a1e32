"""`everloop run`, `resume`, `pipeline` and `runs`, as a person types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration
FLOW = """
import os
from everloop.pipelines import pipeline, step
from everloop.tracking import log

@step
def double(x: int) -> int:
    log(doubled=2 * x)
    return 2 * x

@step
def check(x: int) -> int:
    if not os.path.exists("gate"):
        raise OSError("the gate is shut")
    return x

@pipeline
def flow(x: int = 2) -> int:
    return check(double(x))
"""


def everloop(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    command = [sys.executable, "-m", "everloop", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_run_fails_is_resumed_explained_and_listed(tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text(FLOW)

    failed = everloop(tmp_path, "-o", "json", "run", "flow.py", "--param", "x=21")
    assert failed.returncode == 1, failed.stderr
    run_id = json.loads(failed.stdout)["run"]
    assert "the gate is shut" in everloop(tmp_path, "pipeline", "logs", run_id).stdout

    (tmp_path / "gate").touch()
    resumed = everloop(tmp_path, "-o", "json", "resume", run_id)
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout)["status"] == "finished"

    again = everloop(tmp_path, "-o", "json", "run", "flow.py:flow", "-p", "x=21", "--explain")
    assert [item["status"] for item in json.loads(again.stdout)] == ["cached", "cached"], again.stdout

    listed = json.loads(everloop(tmp_path, "-o", "json", "runs", "ls").stdout)
    assert {run["status"] for run in listed} == {"finished"}
    shown = everloop(tmp_path, "pipeline", "graph", "flow.py")
    assert "check(x=double)" in shown.stdout
