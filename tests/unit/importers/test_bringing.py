"""What is written of foreign runs: in order, once, and what cannot be kept is told."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from everloop.core.errors import UnavailableError
from everloop.importers import ForeignRun, Loss, bring
from everloop.importers.bringing import id_here
from everloop.importers.records import Series
from everloop.tracking.records import MediaPoint, PrintedLine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from everloop.tracking import Tracking

NOW = datetime(2025, 1, 1, tzinfo=UTC)


class Made:
    kind = "made"
    place = "memory"

    def __init__(self, *runs: ForeignRun) -> None:
        self.losses: list[Loss] = []
        self._runs = runs

    def runs(self) -> Iterator[ForeignRun]:
        yield from self._runs


def series(count: int, name: str = "loss") -> Series:
    steps = np.arange(count, dtype=float)
    return Series(name, steps, steps.astype(np.int64), steps / 3)


def test_runs_come_after_those_they_name_and_a_circle_is_cut(tracking: Tracking) -> None:
    source = Made(
        ForeignRun(id="c", started_at=NOW, parent="b"),
        ForeignRun(id="b", started_at=NOW, fork_of="a", fork_step=3.0),
        ForeignRun(id="a", started_at=NOW, series=lambda: [series(10)]),
        ForeignRun(id="x", started_at=NOW, parent="y"),
        ForeignRun(id="y", started_at=NOW, parent="x"),
        ForeignRun(id="z", started_at=NOW, parent="nowhere"),
    )
    report = bring(tracking, source)
    assert report.new_runs == 6
    assert tracking.get_run(id_here(source, "c")).parent == id_here(source, "b")
    assert tracking.get_run(id_here(source, "b")).fork_of == id_here(source, "a")
    assert [(loss.run, loss.what) for loss in report.losses] == [("y", "parent"), ("z", "parent")]


def test_a_very_long_series_and_many_short_ones_come_in_batches_and_what_is_new_comes_later(
    tracking: Tracking,
) -> None:
    def run(count: int) -> Made:
        many = [series(2, f"m{at}") for at in range(200)]
        return Made(ForeignRun(id="a", started_at=NOW, series=lambda: [series(count), *many]))

    assert bring(tracking, run(120_001)).new_points == 120_401
    report = bring(tracking, run(120_005))
    assert (report.points, report.new_points) == (120_405, 4)
    [found] = tracking.list()
    assert tracking.series(found.id, "loss").values.tolist() == (np.arange(120_005) / 3).tolist()


def test_lines_media_and_artifacts_that_were_added_come_and_the_others_do_not_twice(
    tracking: Tracking,
) -> None:
    def source(count: int) -> Made:
        media = [
            MediaPoint(name="t", kind="text", step=float(at), time=at, media_type="text/plain", content=b"x" * 100_000, size_bytes=100_000)
            for at in range(count)
        ]  # fmt: skip
        lines = [PrintedLine(at, False, f"line {at}") for at in range(count * 4000)]
        return Made(
            ForeignRun(
                id="a",
                started_at=NOW,
                media=lambda: media,
                lines=lambda: lines,
                artifacts=lambda: [("f", b"x" * count)],
            )
        )

    for count in (1, 3, 3):
        bring(tracking, source(count))
    [run] = tracking.list()
    assert [line.text for line in tracking.output(run.id, limit=20_000)] == [
        f"line {at}" for at in range(12_000)
    ]
    assert [one.step for one in tracking.media(run.id)] == [0.0, 1.0, 2.0]
    assert [one.size_bytes for one in tracking.artifacts(run.id)] == [3]


def test_a_home_that_goes_away_ends_the_import_and_calling_again_goes_on(
    tracking: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Made(*(ForeignRun(id=name, started_at=NOW, series=lambda: [series(5)]) for name in "abc"))
    log_batch, calls = tracking.log_batch, []

    def sometimes(*args: Any, **kwargs: Any) -> int:
        calls.append(args)
        if len(calls) == 2:
            raise UnavailableError("the home is away")
        return log_batch(*args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(tracking, "log_batch", sometimes)
        with pytest.raises(UnavailableError):
            bring(tracking, source)
    assert len(tracking.list()) == 2
    report = bring(tracking, source)
    assert (report.losses, report.new_runs, report.new_points) == ([], 1, 10)


def test_what_cannot_be_kept_is_told_and_the_rest_of_the_run_comes(tracking: Tracking) -> None:
    source = Made(
        ForeignRun(
            id="a", started_at=NOW, params={"good": 1, "bad\nname": 2, "long": "x" * 100_000}, tags={"": "x"},
            artifacts=lambda: [("ok", b"1"), ("bad\x00", b"2")],
        ),
        ForeignRun(id="b", started_at=NOW, series=lambda: [Series("n", np.array([np.nan]), np.zeros(1, np.int64), np.zeros(1))]),
    )  # fmt: skip
    report = bring(tracking, source)
    assert [(loss.run, loss.what) for loss in report.losses] == [
        ("a", "param 'bad\\nname'"), ("a", "param 'long'"), ("a", "tag ''"), ("a", "artifact 'bad\\x00'"), ("b", "run"),
    ]  # fmt: skip
    run = tracking.get_run(id_here(source, "a"))
    assert (run.params, [one.name for one in tracking.artifacts(run.id)]) == ({"good": 1}, ["ok"])
