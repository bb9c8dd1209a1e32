"""`everloop run`, `resume`, `pipeline` and `runs`, as a person types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
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

TALK = """
import pathlib, time
from everloop.pipelines import pipeline, step

@step
def talk() -> int:
    print("hello")
    pathlib.Path("talking").touch()
    while not pathlib.Path("gate").exists():
        time.sleep(0.02)
    print("bye")
    return 1

@pipeline
def talking() -> int:
    return talk()
"""


def everloop(folder: Path, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    command = [sys.executable, "-m", "everloop", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, input=given
    )


def test_a_run_fails_is_resumed_explained_and_listed(tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text(FLOW)

    failed = everloop(tmp_path, "-o", "json", "run", "flow.py", "--param", "x=21")
    assert failed.returncode == 1, failed.stderr
    run_id = json.loads(failed.stdout)["run"]
    assert "the gate is shut" in everloop(tmp_path, "pipeline", "logs", run_id).stdout
    looked = everloop(tmp_path, "debug", run_id, "check", given="p x + 100\nq\n")
    assert "142" in looked.stdout, looked.stderr
    assert "OSError: the gate is shut" in looked.stderr

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


TYPED = """
from everloop.pipelines import approve, pipeline, step

@step
def add(x: int, is_twice: bool) -> int:
    return x * (2 if is_twice else 1)

@pipeline
def typed(x: int, is_twice: bool = False) -> int:
    \"\"\"Add numbers.\"\"\"
    return add(x, is_twice)

@pipeline
def asking(x: int) -> int:
    return add(approve(x, "Go on?"), True)
"""


def test_inputs_are_options_with_a_help_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "typed.py").write_text(TYPED)

    shown = everloop(tmp_path, "run", "typed.py:typed", "--help")
    assert "--is-twice BOOL" in shown.stdout, shown.stderr
    assert "Add numbers." in shown.stdout
    done = everloop(tmp_path, "-o", "json", "run", "typed.py:typed", "--x", "4", "--is-twice")
    assert json.loads(done.stdout)["status"] == "finished", done.stderr
    run_id = json.loads(done.stdout)["run"]
    again = everloop(tmp_path, "-o", "json", "pipeline", "rerun", run_id, "-p", "x=5", "--from", "add")
    assert json.loads(again.stdout)["steps"] == [{"node": "add", "status": "done", "attempts": 1}], (
        again.stderr
    )
    assert everloop(tmp_path, "pipeline", "graph", "typed.py:typed", "--svg", "flow.svg").returncode == 0
    assert "<svg" in (tmp_path / "flow.svg").read_text()
    assert (
        json.loads(everloop(tmp_path, "-o", "json", "pipeline", "graph", "typed.py:typed").stdout)["name"]
        == "typed"
    )
    assert everloop(tmp_path, "pipeline", "lint", "typed.py:typed").returncode == 0
    wrong = everloop(tmp_path, "run", "typed.py:typed", "--x", "4", "--is-twic", "true")
    assert (wrong.returncode, "Did you mean --is-twice?" in wrong.stderr) == (2, True)
    assert everloop(tmp_path, "run").returncode == 2


def test_a_run_that_asks_is_answered_and_resumed(tmp_path: Path) -> None:
    (tmp_path / "typed.py").write_text(TYPED)

    run = everloop(tmp_path, "-o", "json", "run", "typed.py:asking", "--x=4")
    assert run.returncode == 0, run.stderr
    run_id = json.loads(run.stdout)["run"]
    assert "Go on?" in everloop(tmp_path, "pipeline", "approvals").stdout
    answered = everloop(tmp_path, "pipeline", "approve", run_id, "-m", "fine")
    assert "queued" in answered.stdout, answered.stderr
    resumed = everloop(tmp_path, "-o", "json", "resume", run_id)
    assert json.loads(resumed.stdout)["status"] == "finished", resumed.stderr


SCRIPT = """
import sys
from pathlib import Path

import everloop as el

print("training", sys.argv[1:])
el.log(loss=0.5)
if "--fail" in sys.argv:
    raise ValueError("no rows")
sys.exit(3 if "--stop" in sys.argv else 0)
"""


def test_a_script_is_tracked_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)

    done = everloop(tmp_path, "run", "train.py", "--lr", "0.1", "--fast")
    assert (done.returncode, done.stdout) == (0, "training ['--lr', '0.1', '--fast']\n"), done.stderr
    assert everloop(tmp_path, "run", "train.py", "--stop").returncode == 3
    failed = everloop(tmp_path, "run", "train.py", "--fail")
    assert (failed.returncode, "ValueError: no rows" in failed.stderr) == (1, True)

    found = json.loads(everloop(tmp_path, "-o", "json", "runs", "ls").stdout)
    assert [run["status"] for run in found] == ["failed", "failed", "finished"]
    assert (found[2]["params"], found[2]["metrics"]) == ({"lr": 0.1, "fast": True}, {"loss": 0.5})
    assert everloop(tmp_path, "run", "none.py").returncode == 2


def test_logs_are_followed_while_a_run_is_on_and_searched(tmp_path: Path) -> None:
    (tmp_path / "talk.py").write_text(TALK)
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    start = [sys.executable, "-m", "everloop", "run", "talk.py", "--executor", "process"]
    with subprocess.Popen(
        start, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as running:
        until = time.monotonic() + 30
        while not (tmp_path / "talking").exists() and time.monotonic() < until:
            time.sleep(0.05)
        run_id = json.loads(everloop(tmp_path, "-o", "json", "pipeline", "runs").stdout)[0]["id"]
        early = everloop(tmp_path, "pipeline", "logs", run_id).stdout
        (tmp_path / "gate").touch()
        followed = everloop(tmp_path, "pipeline", "logs", run_id, "--follow").stdout.splitlines()
        assert running.wait(30) == 0

    assert "hello" in early
    assert "bye" not in early
    assert [line.partition("Z ")[2] for line in followed if line.startswith("talk")] == ["hello", "bye"]
    found = everloop(tmp_path, "pipeline", "logs", run_id, "--search", "BYE").stdout
    assert [line.partition("Z ")[2] for line in found.splitlines()] == ["bye"]
