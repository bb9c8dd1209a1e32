"""`everloop up`: three processes that start, answer and stop together."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
import urllib3
from tests.integration.conftest import await_answer, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Start = Callable[..., subprocess.Popen[bytes]]

pytestmark = pytest.mark.integration


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Start]:
    """Start `everloop up` with options; what is left after the test is killed with all its children."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*options: str, **environment: str) -> subprocess.Popen[bytes]:
        clean = {name: text for name, text in os.environ.items() if not name.startswith("EVERLOOP_")}
        command = [sys.executable, "-m", "everloop", "--home", str(tmp_path / ".everloop"), "up", *options]
        with (tmp_path / "log").open("ab") as log:
            process = subprocess.Popen(
                command, cwd=tmp_path, env=clean | environment, stdout=log, stderr=log, start_new_session=True
            )
        started.append(process)
        return process

    yield start
    for process in started:
        for child in [process.pid, *children_of(process.pid)]:
            try:
                os.kill(child, signal.SIGKILL)
            except ProcessLookupError:
                continue
        process.wait()


def children_of(parent: int) -> list[int]:
    """Return the ids of a process's children, as Linux and macOS list them."""
    found = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True)  # noqa: S607
    pairs = [tuple(map(int, line.split())) for line in found.stdout.splitlines()]
    return [pid for pid, ppid in pairs if ppid == parent]


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_all_roles_answer_and_stop_together(up: Start, tmp_path: Path, number: signal.Signals) -> None:
    port = free_port()
    process = up("--port", str(port))
    await_answer(f"http://127.0.0.1:{port}/health", process)
    await_answer(f"http://127.0.0.1:{port + 1}/health", process)
    assert urllib3.request("GET", f"http://127.0.0.1:{port}/api/v1/status").json()["database"] == "sqlite"
    children = children_of(process.pid)
    assert len(children) == 3

    began = time.monotonic()
    process.send_signal(number)
    status = process.wait(15)

    assert status == 0, (tmp_path / "log").read_text()
    assert time.monotonic() - began < 10
    assert [child for child in children if is_running(child)] == []
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_a_signal_while_it_starts_leaves_no_child(up: Start) -> None:
    process = up("--port", str(free_port()))
    while not (children := children_of(process.pid)):
        time.sleep(0.01)

    process.terminate()
    process.wait(15)

    assert [child for child in children if is_running(child)] == []


def test_a_role_that_ends_ends_all(up: Start, tmp_path: Path) -> None:
    port = free_port()
    process = up("--port", str(port))
    await_answer(f"http://127.0.0.1:{port + 1}/health", process)
    children = children_of(process.pid)

    os.kill(children[1], signal.SIGKILL)

    assert process.wait(15) == 1
    assert "server.role-ended" in (tmp_path / "log").read_text()
    assert [child for child in children if is_running(child)] == []


@pytest.mark.parametrize(("offset", "setting"), [(0, "EVERLOOP_API_PORT"), (1, "EVERLOOP_GATEWAY_PORT")])
def test_a_port_in_use_is_named_with_the_setting_to_change(
    up: Start, tmp_path: Path, offset: int, setting: str
) -> None:
    port = free_port()
    with socket.socket() as other:
        other.bind(("127.0.0.1", port + offset))
        other.listen()

        status = up("--port", str(port)).wait(20)

    log = (tmp_path / "log").read_text()
    assert status == 1
    assert "server.port-in-use" in log
    assert setting in log
    assert "Traceback" not in log


def test_beyond_loopback_a_token_is_made_kept_and_asked_for(up: Start, tmp_path: Path) -> None:
    port = free_port()
    process = up("--host", "0.0.0.0", "--port", str(port))  # noqa: S104 - what is tested
    await_answer(f"http://127.0.0.1:{port}/health", process)
    await_answer(f"http://127.0.0.1:{port + 1}/health", process)
    file = tmp_path / ".everloop" / "keys" / "token"
    status = f"http://127.0.0.1:{port}/api/v1/status"

    refused = urllib3.request("GET", status).status
    given = urllib3.request("GET", status, headers={"Authorization": f"Bearer {file.read_text()}"}).status

    assert (refused, given) == (401, 200)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(file.read_text()) >= 32
    assert urllib3.request("POST", f"http://127.0.0.1:{port + 1}/predict/x", body=b"{}").status == 401
    assert file.read_text() not in (tmp_path / "log").read_text()


def test_one_role_runs_alone(up: Start, tmp_path: Path) -> None:
    process = up("--role", "scheduler")
    while not (tmp_path / ".everloop" / "catalog.db").exists():
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(1)

    process.terminate()

    assert process.wait(10) == 0
    assert (tmp_path / "log").read_text() == ""
