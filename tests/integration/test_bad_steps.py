"""Steps that misbehave on the process executor: each ends as an outcome that says why, and nothing of it is left running."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from everloop.data.service import Data
from everloop.pipelines.bundles import import_file, pipelines_in
from everloop.pipelines.executors.process import close_idle_workers
from everloop.pipelines.service import Pipelines
from everloop.tracking import Tracking

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from everloop.kernel.operations import Kernel
    from everloop.pipelines.records import Attempt
    from everloop.pipelines.steps import AnyPipeline

pytestmark = pytest.mark.integration

FLOW = """
import ctypes, os, pathlib, subprocess, sys, time
from everloop.pipelines import pipeline, step

def spawn(folder):
    # One child in the step's session, and a leader of a session of its own whose parent is gone.
    child = subprocess.Popen(["sleep", "300"]).pid
    orphan, out = os.pipe()
    if (middle := os.fork()) == 0:
        leader = subprocess.Popen(["sleep", "300"], start_new_session=True)
        os.write(out, str(leader.pid).encode())
        os._exit(0)
    os.waitpid(middle, 0)
    # Written beside and moved, so that whoever waits for the file finds it whole.
    pathlib.Path(folder, "written").write_text(f"{child} {os.read(orphan, 100).decode()}")
    os.rename(pathlib.Path(folder, "written"), pathlib.Path(folder, "pids"))

@step(memory="300MiB", name="greedy")
def eat() -> int:
    held = [bytearray(8 << 20) for _ in range(50)]
    time.sleep(300)
    return len(held)

@pipeline
def greedy() -> int:
    return eat()

@step(memory="400MiB", name="family")
def eat_in_children() -> int:
    for _ in range(4):
        if os.fork() == 0:
            held = bytearray(150 << 20)
            time.sleep(300)
            os._exit(0)
    time.sleep(300)
    return 1

@pipeline
def family() -> int:
    return eat_in_children()

@step(memory="400MiB", name="modest")
def share_with_children() -> int:
    held = bytearray(os.urandom(1 << 20)) * 200
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            total = sum(held[::4096])
            time.sleep(300)
            os._exit(0)
        children.append(child)
    time.sleep(2)  # several looks of the watcher, of which each is 50 ms after the last on an idle machine
    for child in children:
        os.kill(child, 9)
        os.waitpid(child, 0)
    return len(held)

@pipeline
def modest() -> int:
    return share_with_children()

@step(timeout=2)
def never() -> int:
    spawn(os.environ["FOLDER"])
    while True:
        time.sleep(60)

@pipeline
def endless() -> int:
    return never()

@step
def stay() -> int:
    spawn(os.environ["FOLDER"])
    time.sleep(300)
    return 1

@pipeline
def forever() -> int:
    return stay()

@step
def crash() -> int:
    print("before the fault", flush=True)
    ctypes.string_at(0)
    return 1

@pipeline
def crashing() -> int:
    return crash()

@step
def orphan_and_die() -> int:
    spawn(os.environ["FOLDER"])
    if os.fork() == 0:
        time.sleep(300)
    os._exit(4)

@pipeline
def orphaning() -> int:
    return orphan_and_die()

@step
def leave() -> int:
    spawn(os.environ["FOLDER"])
    return 7

@pipeline
def leaving() -> int:
    return leave()

@step
def quit_() -> int:
    sys.exit("enough")

@pipeline
def quitting() -> int:
    return quit_()

@step
def shout() -> int:
    line = "x" * 99 + "\\n"
    block = line * 10_000
    print("the first line")
    for _ in range(1_000):
        sys.stdout.write(block)
    print("the last line")
    return 1

@pipeline
def shouting() -> int:
    return shout()

@step
def fill() -> int:
    with open("/dev/full", "wb") as file:
        file.write(b"x" * 100_000)
    return 1

@pipeline
def filling() -> int:
    return fill()

@step
def speak() -> int:
    print("from Python")
    subprocess.run(["echo", "from a child"], check=True)
    os.write(1, b"from C\\n")
    return 1

@pipeline
def speaking() -> int:
    return speak()
"""


@pytest.fixture
def pipelines(kernel: Kernel) -> Iterator[Pipelines]:
    yield Pipelines(kernel, data=Data(kernel), tracking=Tracking(kernel))
    close_idle_workers()


@pytest.fixture
def flows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, AnyPipeline]:
    monkeypatch.setenv("FOLDER", str(tmp_path))
    file = tmp_path / "bad_flow.py"
    file.write_text(FLOW)
    sys.modules.pop(file.stem, None)
    return pipelines_in(import_file(file))


def run(pipelines: Pipelines, flow: AnyPipeline) -> Attempt:
    """Return the one attempt of a run of one step."""
    done = pipelines.run(flow, executor="process")
    (attempt,) = pipelines.attempts(done.id)
    return attempt


def wait_for(file: Path) -> None:
    """Wait until a step has written a file; the limit only ends a test that would never end."""
    until = time.monotonic() + 120
    while not file.exists():
        assert time.monotonic() < until, f"{file.name} never came"
        time.sleep(0.02)


def are_gone(folder: Path, *, within_s: float = 20.0) -> bool:
    """Say whether the processes that a step wrote down have ended."""
    started = [int(text) for text in (folder / "pids").read_text().split()]
    assert len(started) == 2
    assert 0 not in started
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        if not any(is_running(process) for process in started):
            return True
        time.sleep(0.02)
    return False


def is_running(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat") as file:  # noqa: PTH123 - a file of the system
            return file.read().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except FileNotFoundError:
        return False


def test_a_step_that_takes_too_much_memory_is_ended_and_told_its_limit_and_its_peak(
    pipelines: Pipelines, flows: dict[str, AnyPipeline]
) -> None:
    attempt = run(pipelines, flows["greedy"])

    assert attempt.status == "failed"
    assert "more than its limit of 300 MiB" in attempt.error
    assert "MemoryLimitError: used " in attempt.error
    assert 300 << 20 < attempt.peak_bytes < 600 << 20


def test_memory_of_the_children_counts(pipelines: Pipelines, flows: dict[str, AnyPipeline]) -> None:
    attempt = run(pipelines, flows["family"])

    assert attempt.status == "failed"
    assert "more than its limit of 400 MiB" in attempt.error


def test_memory_that_a_fork_shares_counts_once(pipelines: Pipelines, flows: dict[str, AnyPipeline]) -> None:
    attempt = run(pipelines, flows["modest"])

    assert attempt.status == "done", attempt.error
    assert 200 << 20 < attempt.peak_bytes < 400 << 20


def test_a_time_out_ends_children_in_sessions_of_their_own(
    pipelines: Pipelines, flows: dict[str, AnyPipeline], tmp_path: Path
) -> None:
    attempt = run(pipelines, flows["endless"])

    assert attempt.status == "timed_out"
    assert "took longer than 2 s" in attempt.error
    assert are_gone(tmp_path)


def test_a_signal_is_named_and_its_traceback_is_in_the_log(
    pipelines: Pipelines, flows: dict[str, AnyPipeline]
) -> None:
    attempt = run(pipelines, flows["crashing"])

    assert attempt.status == "lost"
    assert "ended by signal SIGSEGV" in attempt.error
    assert "before the fault" in attempt.log
    assert "in crash" in attempt.log


def test_a_worker_that_ends_is_noticed_though_its_children_hold_its_pipes(
    pipelines: Pipelines, flows: dict[str, AnyPipeline], tmp_path: Path
) -> None:
    attempt = run(pipelines, flows["orphaning"])

    assert attempt.status == "lost"
    assert "exit code 4" in attempt.error
    assert are_gone(tmp_path)


def test_what_a_finished_step_left_running_is_ended_and_told(
    pipelines: Pipelines, flows: dict[str, AnyPipeline], tmp_path: Path
) -> None:
    attempt = run(pipelines, flows["leaving"])

    assert attempt.status == "done"
    assert "[2 processes that the step left behind were ended]" in attempt.log
    assert are_gone(tmp_path)


@pytest.mark.parametrize("executor", ["inline", "process"])
def test_a_step_that_exits_has_failed(
    pipelines: Pipelines, flows: dict[str, AnyPipeline], executor: str
) -> None:
    done = pipelines.run(flows["quitting"], executor=executor)

    assert done.status == "failed"
    assert "SystemExit: enough" in done.error


@pytest.mark.slow
def test_a_gigabyte_of_log_keeps_its_head_and_its_tail(
    pipelines: Pipelines, flows: dict[str, AnyPipeline], kernel: Kernel
) -> None:
    attempt = run(pipelines, flows["shouting"])

    assert attempt.status == "done", attempt.error
    assert attempt.log_bytes > 1_000_000_000
    assert len(attempt.log) <= 64_000
    assert "the last line" in attempt.log
    assert attempt.log_object is not None
    assert kernel.objects.size(attempt.log_object) < 10 << 20
    first = pipelines.log(attempt.run, attempt.node)
    assert "the first line" in first.text.splitlines()[0]


@pytest.mark.parametrize("executor", ["inline", "process"])
def test_a_full_disk_is_named_with_a_way_out(
    pipelines: Pipelines, flows: dict[str, AnyPipeline], executor: str
) -> None:
    done = pipelines.run(flows["filling"], executor=executor)

    assert done.status == "failed"
    assert "AttemptDiskFullError: the disk is full. Free space" in done.error


def test_what_children_and_c_code_print_is_in_the_log(
    pipelines: Pipelines, flows: dict[str, AnyPipeline]
) -> None:
    log = run(pipelines, flows["speaking"]).log

    assert [line.partition("Z ")[2] for line in log.splitlines()] == ["from Python", "from a child", "from C"]


def test_cancelling_a_run_reaches_the_processes_of_its_step(
    pipelines: Pipelines, flows: dict[str, AnyPipeline], tmp_path: Path
) -> None:
    thread = threading.Thread(target=pipelines.run, args=(flows["forever"],), kwargs={"executor": "process"})
    thread.start()
    wait_for(tmp_path / "pids")
    (run_record,) = pipelines.runs(status="running")

    pipelines.cancel(run_record.id)

    assert are_gone(tmp_path)
    thread.join(60)
    assert pipelines.get(run_record.id).status == "cancelled"


def test_an_engine_that_is_killed_takes_its_steps_with_it(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    (tmp_path / "bad_flow.py").write_text(FLOW)
    program.write_text(
        "import everloop as el\nimport bad_flow\nel.connect().pipelines.run(bad_flow.forever, executor='process')\n"
    )
    engine = os.posix_spawn(
        sys.executable,
        [sys.executable, str(program)],
        os.environ | {"FOLDER": str(tmp_path), "EVERLOOP_HOME": str(tmp_path / ".everloop")},
    )
    wait_for(tmp_path / "pids")

    os.kill(engine, signal.SIGKILL)
    os.waitpid(engine, 0)

    assert are_gone(tmp_path)
