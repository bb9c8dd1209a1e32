"""A run in a program: what it sends and when, whatever threads and failures do to it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from everloop.core.clock import ManualClock
from everloop.core.errors import UnavailableError
from everloop.tracking.client import ActiveRun, current_run, log

if TYPE_CHECKING:
    from everloop.kernel.operations import Kernel
    from everloop.tracking.records import Plain, Point, RunArtifact, RunStatus


class Notebook:
    """A sink that writes down what it is sent; while `is_away` it takes nothing."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, int, list[Point]]] = []
        self.params: dict[str, Plain] = {}
        self.tags: dict[str, str] = {}
        self.ended: list[tuple[RunStatus, str]] = []
        self.is_away = False

    def log_batch(
        self,
        run: str,
        *,
        writer: str,
        sequence: int,
        points: list[Point],
        params: dict[str, Plain],
        tags: dict[str, str],
    ) -> int:
        del run
        if self.is_away:
            raise UnavailableError("away")
        self.batches.append((writer, sequence, points))
        self.params |= params
        self.tags |= tags
        return len(points)

    def record_artifact(self, run: str, *, name: str, digest: str, size_bytes: int) -> RunArtifact:
        raise NotImplementedError

    def finish_run(self, run: str, *, status: RunStatus, error: str = "") -> object:
        del run
        self.ended.append((status, error))
        return None

    @property
    def points(self) -> list[Point]:
        return [point for _, _, points in self.batches for point in points]


@pytest.fixture
def sink() -> Notebook:
    return Notebook()


@pytest.fixture
def run(sink: Notebook, kernel: Kernel, clock: ManualClock) -> ActiveRun:
    return ActiveRun(sink, kernel.objects, clock, run_id="r1")


def test_nothing_is_sent_until_a_batch_is_full_or_asked_for(run: ActiveRun, sink: Notebook) -> None:
    for _ in range(999):
        run.log(loss=1.0)
    assert sink.batches == []

    run.log(loss=1.0)
    run.log(loss=2.0)
    run.flush()
    run.flush()

    assert [len(points) for _, _, points in sink.batches] == [1000, 1]


def test_batches_of_one_writer_are_numbered_and_two_writers_differ(
    run: ActiveRun, sink: Notebook, kernel: Kernel
) -> None:
    again = ActiveRun(sink, kernel.objects, ManualClock(kernel.clock.now()), run_id="r1")
    for one in (run, again, run):
        one.log(loss=1.0)
        one.flush()

    writers = [(writer, sequence) for writer, sequence, _ in sink.batches]
    assert [sequence for _, sequence in writers] == [0, 0, 1]
    assert writers[0][0] == writers[2][0] != writers[1][0]


def test_each_metric_counts_its_own_steps_and_a_given_step_moves_it(run: ActiveRun, sink: Notebook) -> None:
    run.log(a=1.0)
    run.log(a=2.0, b=0.1)
    run.log({"valid/auc": 0.5}, step=10)
    run.log({"valid/auc": 0.6})
    run.flush()

    assert [(point.name, point.step) for point in sink.points] == [
        ("a", 0.0), ("a", 1.0), ("b", 0.0), ("valid/auc", 10.0), ("valid/auc", 11.0),
    ]  # fmt: skip


def test_a_batch_that_could_not_be_sent_is_sent_with_the_next(run: ActiveRun, sink: Notebook) -> None:
    run.log(loss=1.0)
    sink.is_away = True
    with pytest.raises(UnavailableError):
        run.flush()
    sink.is_away = False

    run.log(loss=2.0)
    run.flush()

    assert [point.value for point in sink.points] == [1.0, 2.0]
    assert [sequence for _, sequence, _ in sink.batches] == [0]


def test_threads_lose_no_point(run: ActiveRun, sink: Notebook) -> None:
    def work() -> None:
        for _ in range(500):
            run.log(loss=1.0)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run.flush()

    assert sorted(point.step for point in sink.points) == [float(step) for step in range(2000)]


def test_params_and_tags_are_plain_when_they_leave(run: ActiveRun, sink: Notebook) -> None:
    given: Any = {"layers": [1, 2]}
    run.log_params(given, depth=3)
    run.tag(who="ada", try_=2)
    run.flush()

    assert sink.params == {"layers": "[1, 2]", "depth": 3}
    assert sink.tags == {"who": "ada", "try_": "2"}


def test_runs_inside_runs_come_back_to_the_outer_one(run: ActiveRun, sink: Notebook, kernel: Kernel) -> None:
    inner = ActiveRun(Notebook(), kernel.objects, kernel.clock, run_id="r2")

    with run:
        with inner:
            assert current_run() is inner
        log(loss=1.0)

    assert current_run() is None
    assert [point.value for point in sink.points] == [1.0]
    assert sink.ended == [("finished", "")]
