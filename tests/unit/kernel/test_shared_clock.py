"""All processes of a simulated home read the time that one of them sets."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from everloop.kernel.shared_clock import SharedClock

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import MakeKernel

START = datetime(2013, 1, 1, tzinfo=UTC)


def test_it_stands_where_it_was_made_until_it_is_moved(tmp_path: Path) -> None:
    clock = SharedClock.create(tmp_path / "clock", START)

    assert clock.now() == START
    clock.move_to(START + timedelta(days=31, microseconds=1))
    assert clock.now() == START + timedelta(days=31, microseconds=1)


def test_making_it_again_keeps_its_time(tmp_path: Path) -> None:
    SharedClock.create(tmp_path / "clock", START).move_to(START + timedelta(days=1))

    assert SharedClock.create(tmp_path / "clock", START).now() == START + timedelta(days=1)


def test_it_never_runs_backwards(tmp_path: Path) -> None:
    clock = SharedClock.create(tmp_path / "clock", START)

    with pytest.raises(ValueError, match="never runs backwards"):
        clock.move_to(START - timedelta(seconds=1))

    assert clock.now() == START


def test_another_process_reads_the_move(tmp_path: Path) -> None:
    clock = SharedClock.create(tmp_path / "clock", START)
    program = (
        "import sys; from pathlib import Path; from everloop.kernel.shared_clock import SharedClock\n"
        "clock = SharedClock(Path(sys.argv[1]))\n"
        "for _ in sys.stdin: print(clock.now().isoformat(), flush=True)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "clock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        seen = []
        for day in range(2):
            clock.move_to(START + timedelta(days=day))
            other.stdin.write("?\n")
            other.stdin.flush()
            seen.append(other.stdout.readline().strip())
        other.stdin.close()

    assert seen == [(START + timedelta(days=day)).isoformat() for day in range(2)]


def test_a_home_with_the_file_lives_in_its_time(tmp_path: Path, make_kernel: MakeKernel) -> None:
    SharedClock.create(tmp_path / "home" / "clock", START)

    assert make_kernel(home=tmp_path / "home").clock.now() == START
    assert make_kernel(home=tmp_path / "other").clock.now() > START
