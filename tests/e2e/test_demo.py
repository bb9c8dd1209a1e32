"""The demo as a user runs it: the whole year, a sabotaged model, other backends, a second call."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from everloop.app import connect
from everloop.loop.facts import gate_rows

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def _ports() -> dict[str, str]:
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return {
            "EVERLOOP_API_PORT": str(first.getsockname()[1]),
            "EVERLOOP_GATEWAY_PORT": str(second.getsockname()[1]),
        }


def _demo(folder: Path, *options: str, environment: dict[str, str] | None = None) -> dict[str, Any]:
    command = [sys.executable, "-m", "everloop", "demo", "--home", str(folder), "--exit", "--json", *options]
    variables = {**os.environ, **_ports(), **(environment or {})}
    done = subprocess.run(
        command, env=variables, capture_output=True, text=True, check=False, timeout=600, cwd=folder.parent
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _cycles(folder: Path) -> list[tuple[str, int, tuple[str, ...]]]:
    """Return each cycle as state, challenger and the states it went through."""
    with connect(home=folder / ".everloop") as app:
        cycles = app.loop.cycles("delays", limit=100)
        return [(c.state, c.challenger, tuple(step.state for step in c.history)) for c in reversed(cycles)]


def test_the_loop_beats_the_frozen_model_over_the_year(tmp_path: Path) -> None:
    found = _demo(tmp_path / "year")
    assert len(found["months"]) == 11
    assert found["months_won"] >= 8
    assert found["mean_gain"] >= 0.015
    assert found["promoted"] >= 1
    assert found["refused"] >= 1
    with connect(home=tmp_path / "year" / ".everloop") as app:
        assert app.system.verify_events().is_intact
        refused = next(c for c in app.loop.cycles("delays", limit=100) if c.state == "rejected")
        story = app.loop.explain(f"delays/{refused.number}")
        assert "the gate refuses" in story
        assert "log_loss" in story


def test_a_sabotaged_challenger_is_rolled_back_by_its_canary(tmp_path: Path) -> None:
    found = _demo(tmp_path / "broken", "--sabotage", "--until", "2013-03-20")
    assert found["rolled_back"] == 1
    with connect(home=tmp_path / "broken" / ".everloop") as app:
        cycle = next(c for c in app.loop.cycles("delays") if c.state == "rolled_back")
        began = next(step.at for step in cycle.history if step.state == "canary")
        assert (cycle.updated_at - began).days <= 7
        assert "differ from what the registered model says" in app.loop.explain(cycle.id)
        assert app.serving.get("delays").weights == {1: 1.0}


def test_the_story_is_the_same_on_postgresql_and_s3(tmp_path: Path, postgres_url: str) -> None:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        options = {"endpoint": f"http://{host}:{port}", "access_key_id": "test", "secret_access_key": "test", "region": "us-east-1"}  # fmt: skip
        _make_bucket(options["endpoint"])
        environment = {
            "EVERLOOP_CATALOG_URL": postgres_url,
            "EVERLOOP_OBJECTS_URL": "s3://everloop/demo",
            "EVERLOOP_OBJECTS_OPTIONS": json.dumps(options),
        }
        remote = _demo(tmp_path / "remote", "--until", "2013-04-20", environment=environment)
    finally:
        server.stop()
    local = _demo(tmp_path / "local", "--until", "2013-04-20")
    assert remote["months"] == local["months"]
    assert remote["promoted"] == local["promoted"] >= 1


def test_a_second_call_in_the_same_home_goes_on_and_repeats_nothing(tmp_path: Path) -> None:
    home = tmp_path / "twice"
    _demo(home, "--until", "2013-02-10")
    first = _cycles(home)
    _demo(home, "--until", "2013-02-10")
    assert _cycles(home) == first
    _demo(home, "--until", "2013-03-10")
    with connect(home=home / ".everloop") as app:
        found = app.data.version("flights")
        assert (
            app.data.read("flights")
            .sql("SELECT count(DISTINCT id) AS n FROM this")
            .to_arrow()["n"][0]
            .as_py()
            == found.rows
        )


def test_a_planted_future_label_is_read_by_nothing_before_its_time(tmp_path: Path) -> None:
    _demo(tmp_path / "short", "--until", "2013-02-10")
    with connect(home=tmp_path / "short" / ".everloop") as app:
        now = app.kernel.clock.now()
        start = now - timedelta(days=8)
        before = app.serving.labelled("delays", start, now, known_by=now)
        labelled = _ids(before)
        everything = _ids(app.serving.predictions("delays", start, now))
        planted = sorted(set(everything) - set(labelled))[:50] + labelled[:50]
        app.serving.label("delays", ids=planted, labels=[1] * 100, known_at=now + timedelta(days=30))
        cycle = msgspec.structs.replace(app.loop.cycles("delays")[0], cut=start)
        assert gate_rows(app.serving, cycle, now, "late").equals(before.rename_columns(_renamed(before)))
        later = app.serving.labelled("delays", start, now, known_by=now + timedelta(days=31))
        assert set(planted) <= set(_ids(later))


def _ids(rows: pa.Table) -> list[str]:
    return [str(value) for value in rows["id"].to_pylist()]


def _renamed(rows: pa.Table) -> list[str]:
    return ["late" if name == "label" else name for name in rows.column_names]


def test_ctrl_c_leaves_no_process_and_a_story_that_goes_on(tmp_path: Path) -> None:
    home = tmp_path / "cut"
    ports = _ports()
    command = [sys.executable, "-m", "everloop", "demo", "--home", str(home), "--exit"]
    running = subprocess.Popen(
        command, env={**os.environ, **ports}, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert running.stderr is not None
    for line in running.stderr:
        if "PROMOTED" in line:
            break
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    assert running.returncode == 130
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", int(ports["EVERLOOP_GATEWAY_PORT"])))
    assert _demo(home, "--until", "2013-02-20")["months"] == []


def _make_bucket(endpoint: str) -> None:
    import urllib3

    assert urllib3.request("PUT", f"{endpoint}/everloop").status == 200
