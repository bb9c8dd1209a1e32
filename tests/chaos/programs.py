# ruff: noqa: T201 - these are programs: they speak by printing
"""Programs that chaos tests start as processes of their own: `python programs.py VERB HOME CATALOG_URL ...`."""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from everloop.core.clock import SystemClock
from everloop.data.service import Data
from everloop.kernel import Kernel, open_kernel
from everloop.kernel.settings import Settings
from everloop.pipelines.service import Pipelines
from everloop.testing.faults import CommitCount, kill_at_commit
from everloop.tracking import Tracking

if TYPE_CHECKING:
    from collections.abc import Callable

sys.path.insert(0, str(Path(__file__).parent / "project"))


def open_pipelines(home: str, url: str) -> tuple[Kernel, Pipelines]:
    kernel = open_kernel(Settings(home=Path(home), catalog_url=url))
    return kernel, Pipelines(kernel, data=Data(kernel), tracking=Tracking(kernel))


def run_and_die(home: str, url: str, number: str) -> None:
    """Run the short pipeline and die at a commit point; print how many points an unbroken run has."""
    from short import short  # type: ignore[import-not-found] # on the path of this test only

    kernel, pipelines = open_pipelines(home, url)
    if number != "0":
        kill_at_commit(kernel.catalog, int(number))
    count = CommitCount(kernel.catalog)
    run = pipelines.run(short, {"x": 4}, cache=True)
    print(run.id, count.points, pipelines.result(run))
    kernel.close()


def work(home: str, url: str, lease_s: str) -> None:
    """Claim what waits under a short lease, and say how each claimed run stood afterwards."""
    kernel, pipelines = open_pipelines(home, url)
    print("ready", flush=True)
    print("worked", pipelines.work(lease_s=float(lease_s)), flush=True)
    kernel.close()


def schedule(home: str, url: str, skew_s: str, minutes: str, start: str) -> None:
    """Pass as a scheduler over some minutes of simulated time, with a clock that is off by `skew_s`."""
    kernel, pipelines = open_pipelines(home, url)
    print("ready", flush=True)
    sys.stdin.readline()
    begin = SystemClock().now().fromisoformat(start)
    for minute in range(1, int(minutes) + 1):
        pipelines.tick(begin + timedelta(minutes=minute, seconds=float(skew_s)))
    print("done", flush=True)
    kernel.close()


def schedule_and_die(home: str, url: str, number: str, start: str, hours: str) -> None:
    """Make one pass of a scheduler that missed some hours, and die at a commit point of it."""
    kernel, pipelines = open_pipelines(home, url)
    kill_at_commit(kernel.catalog, int(number))
    pipelines.tick(SystemClock().now().fromisoformat(start) + timedelta(hours=float(hours)))
    print("done", flush=True)
    kernel.close()


def pass_often(home: str, url: str, times: str) -> None:
    """Make many passes of a scheduler, one after the other."""
    kernel, pipelines = open_pipelines(home, url)
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(int(times)):
        pipelines.tick()
        time.sleep(0.02)
    print("done", flush=True)
    kernel.close()


def pass_and_die(home: str, url: str, number: str) -> None:
    """Make one pass of a scheduler and die at a commit point of it."""
    kernel, pipelines = open_pipelines(home, url)
    kill_at_commit(kernel.catalog, int(number))
    pipelines.tick()
    kernel.close()


def wait_until(path: Path, timeout_s: float = 30) -> None:
    until = time.monotonic() + timeout_s
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.01)


if __name__ == "__main__":
    programs: dict[str, Callable[..., None]] = {
        "run_and_die": run_and_die,
        "work": work,
        "schedule": schedule,
        "schedule_and_die": schedule_and_die,
        "pass_often": pass_often,
        "pass_and_die": pass_and_die,
    }
    programs[sys.argv[1]](*sys.argv[2:])
