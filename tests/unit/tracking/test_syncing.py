"""Spools that processes left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from everloop.tracking import Tracking
from everloop.tracking.series.columns import pack
from everloop.tracking.spool import Batch, End, Spool, Start, spools

if TYPE_CHECKING:
    from pathlib import Path

    from everloop.kernel.operations import Kernel


@pytest.fixture
def tracking(any_kernel: Kernel) -> Tracking:
    return Tracking(any_kernel)


def leave(
    folder: Path, *, run: str = "r1", writer: str = "w", batches: int = 3, has_end: bool = True
) -> None:
    spool = Spool(folder / run, writer)
    spool.append(
        Start(id=run, experiment="far", name="away", started_at=1_000_000, files={"environment": b"numpy==2"})
    )
    for at in range(batches):
        spool.append(Batch(sequence=at, series=[pack("loss", [float(at)], [at], [1.0])]))
    if has_end:
        spool.append(End(status="failed", error="bad", ended_at=9_000_000))
    spool.close()


def test_a_run_made_away_arrives_with_its_own_times_and_the_spool_is_gone(
    tracking: Tracking, tmp_path: Path
) -> None:
    leave(tmp_path / "spool")
    [one] = tracking.sync(folder=tmp_path / "spool")
    found = tracking.get_run("r1")
    assert (one.status, one.points, one.entries) == ("sent", 3, 5)
    assert (found.status, found.error, found.experiment) == ("failed", "bad", "far")
    assert (found.created_at.timestamp(), found.ended_at and found.ended_at.timestamp()) == (1.0, 9.0)
    assert tracking.kernel.objects.get(found.capture.environment or found.capture.diff) == b"numpy==2"  # type: ignore[arg-type] # one is there
    assert spools(tmp_path / "spool") == []


def test_what_the_home_has_is_not_sent_again(tracking: Tracking, tmp_path: Path) -> None:
    tracking.create_run(id="r1")
    tracking.log_batch("r1", writer="w", sequence=1, series=[pack("loss", [0.0, 1.0], [0, 1], [1.0, 1.0])])
    leave(tmp_path / "spool")
    [one] = tracking.sync(folder=tmp_path / "spool")
    assert (one.points, one.entries) == (1, 2)
    assert tracking.get_run("r1").metrics[0].count == 3


def test_two_writers_of_one_run_are_merged(tracking: Tracking, tmp_path: Path) -> None:
    leave(tmp_path / "spool", writer="a", has_end=False)
    leave(tmp_path / "spool", writer="b")
    found = tracking.sync(folder=tmp_path / "spool")
    assert [one.status for one in found] == ["open", "sent"]
    assert tracking.get_run("r1").metrics[0].count == 6
    assert [one.status for one in tracking.sync(folder=tmp_path / "spool", closed=True)] == ["sent"]
    assert tracking.get_run("r1").metrics[0].count == 6
    assert spools(tmp_path / "spool") == []


def test_a_refused_spool_stays_with_its_reason(tracking: Tracking, tmp_path: Path) -> None:
    tracking.create_run(id="r1")
    tracking.delete_run("r1")
    leave(tmp_path / "spool")
    [one] = tracking.sync(folder=tmp_path / "spool")
    assert (one.status, len(spools(tmp_path / "spool"))) == ("refused", 1)
    assert "trash" in one.error
