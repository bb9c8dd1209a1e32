"""When values leave a run, and what becomes of them when the home is away."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from everloop.core.errors import InvalidInputError, UnavailableError
from everloop.tracking import Tracking
from everloop.tracking.client import ActiveRun
from everloop.tracking.courier import Background
from everloop.tracking.spool import Batch, End, Start, read, spools

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from everloop.kernel.operations import Kernel


class Gate:
    """A home of its own kind: `Tracking` behind a door that can be shut, so that calls fail as those of a lost server do."""

    def __init__(self, tracking: Tracking) -> None:
        self._tracking = tracking
        self.is_shut = False
        self.calls = 0

    def __getattr__(self, name: str) -> Callable[..., Any]:
        verb = getattr(self._tracking, name)

        def call(*args: object, **values: object) -> object:
            self.calls += 1
            if self.is_shut:
                raise UnavailableError("the door is shut")
            return verb(*args, **values)

        return call


@pytest.fixture
def tracking(kernel: Kernel) -> Tracking:
    return Tracking(kernel)


@pytest.fixture
def gate(tracking: Tracking) -> Gate:
    return Gate(tracking)


def begin(
    gate: Gate, tracking: Tracking, folder: Path, *, is_started: bool = True, patience_s: float = 10.0
) -> ActiveRun:
    start = Start(id="r1", experiment="e", name="n", started_at=0)
    if is_started:
        tracking.create_run(id="r1", experiment="e", name="n")
    sink: Any = gate
    courier = Background(
        sink,
        tracking.kernel.objects,
        tracking.kernel.clock,
        start=start,
        folder=folder / "r1",
        is_started=is_started,
        patience_s=patience_s,
    )
    return ActiveRun(sink, tracking.kernel.objects, courier, run_id="r1")


def values(tracking: Tracking, name: str = "loss") -> list[float | None]:
    return [point.value for point in tracking.history("r1", name=name)]


def test_what_was_logged_is_home_after_the_end_and_the_spool_is_gone(
    gate: Gate, tracking: Tracking, tmp_path: Path
) -> None:
    run = begin(gate, tracking, tmp_path)
    for at in range(120_000):
        run.log(loss=float(at))
    run.log_params(depth=3)
    run.finish()
    assert values(tracking)[:3] == [0.0, 1.0, 2.0]
    assert tracking.get_run("r1").metrics[0].count == 120_000
    assert tracking.get_run("r1").params == {"depth": 3}
    assert tracking.get_run("r1").status == "finished"
    wait_until(lambda: spools(tmp_path) == [])


def test_while_the_home_is_away_the_run_goes_on_and_all_arrives_once_when_it_is_back(
    gate: Gate, tracking: Tracking, tmp_path: Path
) -> None:
    run = begin(gate, tracking, tmp_path)
    run.log(loss=0.0)
    run.flush()
    gate.is_shut = True
    for at in range(1, 60):
        run.log(loss=float(at))
        with pytest.raises(UnavailableError):
            run.flush()
    gate.is_shut = False
    run.log(loss=60.0)
    run.finish()
    assert values(tracking) == [float(at) for at in range(61)]
    wait_until(lambda: spools(tmp_path) == [])


def test_a_run_that_starts_without_its_home_arrives_whole(
    gate: Gate, tracking: Tracking, tmp_path: Path
) -> None:
    gate.is_shut = True
    run = begin(gate, tracking, tmp_path, is_started=False)
    run.log(loss=1.0)
    run.log_artifact("report", b"good")
    gate.is_shut = False
    run.finish()
    assert values(tracking) == [1.0]
    [artifact] = tracking.artifacts("r1")
    assert tracking.kernel.objects.get(artifact.digest) == b"good"
    wait_until(lambda: not (tmp_path / "r1").exists())


def test_the_end_does_not_wait_longer_than_was_said_and_leaves_all_in_the_spool(
    gate: Gate, tracking: Tracking, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = begin(gate, tracking, tmp_path, patience_s=0.2)
    gate.is_shut = True
    run.log(loss=1.0)
    run.finish("failed", error="bad")
    [spool] = spools(tmp_path)
    kinds = [type(entry) for entry in read(spool)]
    assert kinds == [Start, Batch, End]
    assert "everloop sync" in capsys.readouterr().err


def test_a_refusal_of_the_home_does_not_reach_the_training(
    gate: Gate, tracking: Tracking, tmp_path: Path
) -> None:
    run = begin(gate, tracking, tmp_path, patience_s=0.2)
    tracking.delete_run("r1")
    run.log(loss=1.0)
    with pytest.raises(Exception, match="trash"):
        run.flush()
    run.log(loss=2.0)
    run.finish()
    assert len(list(read(spools(tmp_path)[0]))) == 4


def test_values_beyond_memory_are_read_from_the_spool_again(
    gate: Gate, tracking: Tracking, tmp_path: Path
) -> None:
    run = begin(gate, tracking, tmp_path)
    gate.is_shut = True
    run.log(loss=0.0)
    for at in range(1, 200):
        run.log(loss=float(at))
        with pytest.raises(UnavailableError):
            run.flush(0.0)
    gate.is_shut = False
    run.finish()
    assert values(tracking) == [float(at) for at in range(200)]


def test_a_full_disk_of_the_client_keeps_values_in_memory(
    gate: Gate, tracking: Tracking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begin(gate, tracking, tmp_path)
    gate.is_shut = True
    run.log(loss=0.0)
    with pytest.raises(UnavailableError):
        run.flush()
    real = os.write

    def full(file: int, content: bytes) -> int:
        if threading.current_thread().name.startswith(("everloop", "MainThread")) and len(content) > 100:
            raise OSError(28, "No space left on device")
        return real(file, content)

    monkeypatch.setattr(os, "write", full)
    for at in range(1, 50):
        run.log(loss=float(at))
        with pytest.raises(UnavailableError):
            run.flush()
    monkeypatch.undo()
    gate.is_shut = False
    run.finish()
    assert values(tracking) == [float(at) for at in range(50)]


def test_threads_lose_no_point(gate: Gate, tracking: Tracking, tmp_path: Path) -> None:
    run = begin(gate, tracking, tmp_path)

    def work(name: str) -> None:
        for at in range(5_000):
            run.log({name: float(at)})

    threads = [threading.Thread(target=work, args=(f"m{at}",)) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run.finish()
    for at in range(4):
        assert len(tracking.series("r1", f"m{at}").steps) == 5_000


@pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_sends_its_own_values_and_none_of_its_parent(tmp_path: Path) -> None:
    from everloop.app import connect

    with connect(home=tmp_path / "home") as app:
        with app.tracking.start() as run:
            run.log(parent=1.0)
            run.flush()
            run.log(parent=2.0)
            context = multiprocessing.get_context("fork")
            child = context.Process(target=_log_in_child, args=(run, tmp_path / "home"))
            child.start()
            child.join()
            assert child.exitcode == 0
        found = app.tracking.get_run(run.id)
    assert {metric.name: metric.count for metric in found.metrics} == {"parent": 2, "child": 1}


def _log_in_child(run: ActiveRun, home: Path) -> None:
    """Log to a run of the parent with a catalog of the child's own: connections do not survive a fork."""
    from everloop.app import connect

    with connect(home=home) as app:
        own = app.tracking.attach(run.id)
        own.log(child=1.0)
        own.flush()


def test_a_name_or_value_that_cannot_be_kept_is_refused_where_it_is_logged(
    gate: Gate, tracking: Tracking, tmp_path: Path
) -> None:
    run = begin(gate, tracking, tmp_path)
    wrong: Any = object()
    for values_, step in (
        ({"loss": wrong}, None),
        ({"": 1.0}, None),
        ({"a\nb": 1.0}, None),
        ({"loss": 1.0}, float("nan")),
    ):
        with pytest.raises(InvalidInputError):
            run.log(values_, step=step)
    run.finish()
    assert tracking.get_run("r1").metrics == []


def wait_until(claim: Callable[[], bool]) -> None:
    for _ in range(500):
        if claim():
            return
        time.sleep(0.01)
    assert claim()
