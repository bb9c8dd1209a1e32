"""Points that were logged arrive once, whoever is killed on the way."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.integration.conftest import await_answer, free_port

from everloop.app import connect

if TYPE_CHECKING:
    from everloop.app import App

pytestmark = [pytest.mark.chaos, pytest.mark.integration, pytest.mark.slow]
PROGRAM = str(Path(__file__).parent / "log_and_die.py")
# What the spool and the home together may lack of a killed process: half a second until a batch is packed, and the machine's delay.
MAY_LACK_S = 1.5


def environment(**more: str) -> dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("EVERLOOP_")}
    return kept | {f"EVERLOOP_{name}": text for name, text in more.items()}


def logger(run: str, count: int, pause_s: float, **variables: str) -> subprocess.Popen[str]:
    command = [sys.executable, PROGRAM, run, str(count), str(pause_s)]
    return subprocess.Popen(command, env=environment(**variables), stdout=subprocess.PIPE, text=True)


def serve(home: Path, port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "everloop", "--home", str(home), "up", "--role", "api"]
    process = subprocess.Popen(
        command,
        env=environment(TOKEN="secret", API_PORT=str(port)),
        cwd=home.parent,
        stderr=subprocess.DEVNULL,
    )
    await_answer(f"http://127.0.0.1:{port}/health", process)
    return process


def numbers(app: App, run: str) -> list[float]:
    columns = app.tracking.series(run, "n")
    assert (columns.steps == columns.values).all()
    return [float(value) for value in columns.values]


def test_a_killed_program_loses_at_most_its_last_second_and_nothing_twice(tmp_path: Path) -> None:
    chance = random.Random(5)  # noqa: S311 - no secret
    home, spool = tmp_path / "home", tmp_path / "spool"
    with connect(home=home) as app:
        for at in range(6):
            run = f"r{at}"
            with logger(run, 1_000_000, 0.002, HOME=str(home), SPOOL_DIR=str(spool)) as process:
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
                time.sleep(MAY_LACK_S + chance.uniform(0.2, 1.0))
                process.send_signal(signal.SIGKILL)
                killed_at = time.time()
                said = [line.split() for line in process.stdout.read().splitlines() if len(line.split()) == 2]

            app.tracking.sync(folder=spool, closed=True)

            kept = numbers(app, run)
            assert kept == [float(number) for number in range(len(kept))]
            due = max(
                (int(number) for number, when in said if float(when) < killed_at - MAY_LACK_S), default=0
            )
            assert due > 0
            assert len(kept) > due
    assert list(spool.iterdir()) == []


def test_a_server_that_is_killed_again_and_again_has_each_point_of_each_writer_once(tmp_path: Path) -> None:
    home, port = tmp_path / "server" / ".everloop", free_port()
    home.parent.mkdir()
    server = serve(home, port)
    url, count, writers = f"http://127.0.0.1:{port}", 20_000, 4
    variables = {"URL": url, "TOKEN": "secret", "SPOOL_DIR": str(tmp_path / "spool")}
    loggers = [logger(f"w{at}", count, 0.03, **variables) for at in range(writers)]
    kills = 0
    try:
        for one in loggers:
            assert one.stdout is not None
            assert one.stdout.readline() == "ready\n"
        while any(one.poll() is None for one in loggers) and kills < 6:
            time.sleep(0.7)
            server.send_signal(signal.SIGKILL)
            server.wait()
            kills += 1
            server = serve(home, port)
        for one in loggers:
            one.communicate(timeout=120)
            assert one.returncode == 0
        with connect(url, token="secret", spool_dir=str(tmp_path / "spool")) as remote:
            assert all(one.status == "sent" for one in remote.tracking.sync())
    finally:
        server.kill()
        server.wait()
        for one in loggers:
            one.kill()
            one.wait()
    assert kills >= 3
    with connect(home=home) as app:
        for at in range(writers):
            assert numbers(app, f"w{at}") == [float(number) for number in range(count)]
            assert app.tracking.get_run(f"w{at}").status == "finished"
