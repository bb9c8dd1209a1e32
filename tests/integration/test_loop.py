"""The loop over a real gateway process, on data that are not flights: approval, refusal, promotion, kills."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pyarrow as pa
import pytest
import urllib3

import everloop as el
from everloop.app import App, connect
from everloop.core.actors import Actor, acting_as
from everloop.kernel.shared_clock import SharedClock
from everloop.loop.store import CycleOpenError
from everloop.serving.records import CanaryLimits

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.integration, pytest.mark.slow]

PROJECT = Path(__file__).parent / "loop_project"
START = datetime(2020, 3, 1, tzinfo=UTC)
POLICY = el.Policy(
    model="churn",
    pipeline="churn",
    data={"rows": "customers"},
    holdout="5d",
    watch=el.Watch(window="5d", min_labelled=50, drift=False),
    trigger=el.Trigger(every="10d", cooldown="1d", min_labelled=100),
    gate=el.Gate(conditions=[el.Condition(margin=0.05)], min_rows=100, min_labelled=100),
    rollout=el.Rollout(canary=(50,), step="1d", limits=CanaryLimits(min_predictions=20)),
)


class Town:
    """Customers of some days, and whether they left; `twist` turns the rule round."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(7)

    def rows(self, start: datetime, count: int, *, twist: float = 1.0) -> pa.Table:
        features = self.random.normal(size=(count, 2))
        left = (features[:, 0] * twist + self.random.normal(scale=0.7, size=count)) > 0
        times = [start + timedelta(seconds=86000 * i / count) for i in range(count)]
        columns = {"a": features[:, 0], "b": features[:, 1], "churned": left.astype(np.int64)}
        return pa.table({"time": pa.array(times, pa.timestamp("us", "UTC")), **columns})


class World:
    """One home with its gateway, its clock and its town."""

    def __init__(self, app: App, port: int) -> None:
        self.app = app
        self.town = Town()
        clock = app.kernel.clock
        assert isinstance(clock, SharedClock)
        self.clock = clock
        self.pool = urllib3.HTTPConnectionPool("127.0.0.1", port)

    def day(self, *, count: int = 60, twist: float = 1.0) -> None:
        """Let one day pass: answer its customers, learn how they decided, tick."""
        rows = self.town.rows(self.clock.now(), count, twist=twist)
        ids = [f"{self.clock.now():%Y%m%d}-{i}" for i in range(count)]
        plain = rows.select(["a", "b"]).to_pydict()
        self._post("/predict/churn", {"columns": plain, "ids": ids, "times": rows["time"].to_pylist()})
        self.clock.move_to(self.clock.now() + timedelta(days=1))
        self._post("/labels/churn", {"ids": ids, "labels": rows["churned"].to_pylist()})
        self.app.data.add("customers", rows, mode="append", event_time="time")
        self.tick()

    def tick(self) -> None:
        self.app.tick()
        self.app.serving.wait_until_served("churn")

    def _post(self, path: str, body: dict[str, object]) -> None:
        answer = self.pool.request(
            "POST", path, body=msgspec.json.encode(body), headers={"content-type": "application/json"}
        )
        assert answer.status == 200, answer.data


@contextmanager
def _gateway(home: Path) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "everloop", "--home", str(home), "up", "--role", "gateway"]
    running = subprocess.Popen(command, env={**os.environ, "EVERLOOP_GATEWAY_PORT": str(port)})
    try:
        until = time.monotonic() + 30
        while True:
            assert running.poll() is None
            assert time.monotonic() < until
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield port
    finally:
        running.terminate()
        running.wait(20)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.syspath_prepend(str(PROJECT))
    home = tmp_path / ".everloop"
    with connect(home=home, simulate_from=START) as app, _gateway(home) as port:
        yield World(app, port)


def _start(world: World, policy: el.Policy = POLICY) -> None:
    from churn import churn  # type: ignore[import-not-found]  # on the path of this test only

    world.app.data.add("customers", world.town.rows(START - timedelta(days=10), 400), event_time="time")
    world.app.loop.start(policy, pipeline=churn)
    world.tick()


def test_the_first_version_is_trained_and_takes_the_traffic(world: World) -> None:
    _start(world)
    cycle = world.app.loop.cycles("churn")[0]
    assert (cycle.state, cycle.challenger) == ("promoted", 1)
    assert world.app.serving.get("churn").weights == {1: 1.0}
    assert world.app.registry.get("churn@champion").version == 1


def test_a_changed_world_is_noticed_learned_and_rolled_out(world: World) -> None:
    _start(world)
    for _ in range(5):
        world.day()
    for _ in range(30):
        world.day(twist=-1.0)
    cycles = world.app.loop.cycles("churn")
    assert any(c.cause.startswith("alert") for c in cycles)
    assert world.app.registry.get("churn@champion").version > 1
    scores = world.app.registry.score("churn@champion", {"a": [2.0, -2.0], "b": [0.0, 0.0]})
    assert scores[0] < scores[1]
    assert world.app.system.verify_events().is_intact


def test_a_cycle_waits_for_the_approval_its_policy_asks_for(world: World) -> None:
    _start(world, msgspec.structs.replace(POLICY, approval="approver"))
    for _ in range(12):
        world.day()
    cycle = world.app.loop.cycles("churn")[0]
    assert cycle.state == "awaiting_approval"
    assert world.app.serving.get("churn").weights == {1: 1.0}
    with acting_as(Actor(name="user:ada", roles=frozenset({"approver"}))):
        world.app.registry.approve(
            "churn", cycle.challenger, gate_report=cycle.gate_report, comment="looked at it"
        )
    world.tick()
    moved = world.app.loop.get(cycle.id)
    assert moved.state == "canary"
    assert "user:ada" in world.app.loop.explain(cycle.id)


def test_a_model_has_one_open_cycle_at_a_time(world: World) -> None:
    _start(world, msgspec.structs.replace(POLICY, approval="approver"))
    for _ in range(12):
        world.day()
    with pytest.raises(CycleOpenError, match="open cycle"):
        world.app.loop.trigger("churn", reason="impatience")


def test_a_paused_policy_begins_no_cycle(world: World) -> None:
    _start(world)
    world.app.loop.pause("churn")
    for _ in range(14):
        world.day()
    assert len(world.app.loop.cycles("churn")) == 1
    world.app.loop.resume("churn")
    world.tick()
    assert len(world.app.loop.cycles("churn")) == 2


@pytest.mark.chaos
def test_a_loop_killed_at_any_commit_comes_to_the_same_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(PROJECT))
    from churn import churn

    template = tmp_path / "template"
    with connect(home=template, simulate_from=START) as app:
        app.data.add("customers", Town().rows(START - timedelta(days=10), 400), event_time="time")
        app.loop.start(POLICY, pipeline=churn)
    points = int(_tick(tmp_path, template, 0).stdout)
    expected = _end(tmp_path / "home-0")
    assert points > 10
    for point in range(1, points + 1, max(1, points // 8)):
        assert _tick(tmp_path, template, point).returncode == -9
        assert _tick(tmp_path, None, point).returncode == 0
        assert _end(tmp_path / f"home-{point}") == expected, f"killed at point {point} of {points}"


def _tick(folder: Path, template: Path | None, point: int) -> subprocess.CompletedProcess[str]:
    home = folder / f"home-{point}"
    if template is not None:
        shutil.copytree(template, home)
    command = [
        sys.executable,
        str(PROJECT / "tick_and_die.py"),
        str(home),
        str(point if template is not None else 0),
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def _end(home: Path) -> tuple[object, ...]:
    with connect(home=home) as app:
        cycles = [
            (c.state, c.challenger, [step.state for step in c.history]) for c in app.loop.cycles("churn")
        ]
        champion = app.registry.get("churn@champion")
        return (
            cycles,
            champion.version,
            champion.digest,
            app.serving.get("churn").weights,
            app.system.verify_events().is_intact,
        )
