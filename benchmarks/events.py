"""Event append with its transaction, alone and a hundred at a time, against plain sqlite3 with the same pragmas.

python benchmarks/events.py
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from floors import sqlite_commits_s

from everloop.kernel import open_kernel
from everloop.kernel.settings import Settings

if TYPE_CHECKING:
    from everloop.kernel import Kernel

COMMITS = 500
MANY = 100
ROUNDS = 7
# The texts of an event of this payload, as long as the real ones.
ROW = (
    "0197a0c0-0000-7000-8000-000000000000",
    "2013-02-01T00:00:00Z",
    "user:ada",
    "dataset.versioned",
    "dataset:flights@v3",
    '{"rows":336776}',
)


def appends_s(kernel: Kernel, *, commits: int, events_each: int) -> list[float]:
    """Return the seconds of each transaction that appends so many events."""
    times = []
    for _ in range(commits):
        began = time.perf_counter()
        with kernel.catalog.transaction() as connection:
            for _ in range(events_each):
                kernel.events.append(connection, kind=ROW[3], subject=ROW[4], payload={"rows": 336776})
        times.append(time.perf_counter() - began)
    return times


def compare(kernel: Kernel, folder: Path, *, commits: int, events_each: int) -> tuple[float, float]:
    """Return the medians of floor and append in microseconds a transaction, rounds of both taken in turn."""
    floors, appends = [], []
    for _ in range(ROUNDS):
        floors += sqlite_commits_s(folder / "floor.db", ROW, commits=commits, rows_each=events_each)
        appends += appends_s(kernel, commits=commits, events_each=events_each)
    return statistics.median(floors) * 1e6, statistics.median(appends) * 1e6


def main() -> None:
    """Print the medians and their ratio."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kernel = open_kernel(Settings(home=folder / ".everloop"))
        single = compare(kernel, folder, commits=COMMITS, events_each=1)
        many = compare(kernel, folder, commits=COMMITS // 10, events_each=MANY)
        count = ROUNDS * (COMMITS + COMMITS // 10 * MANY)
        began = time.perf_counter()
        kernel.events.seal()
        sealing = time.perf_counter() - began
        kernel.close()
    print("event append with its transaction (SQLite, median)")
    for title, (floor, append) in (("1 event", single), (f"{MANY} events", many)):
        print(f"  floor: insert and commit in sqlite3, {title:<10} {floor:10.1f} µs")
        print(f"  append and commit, {title:<27} {append:10.1f} µs   {append / floor:6.1f} x floor")
    print(f"  sealing what was left of {count:,} events         {sealing * 1e3:10.1f} ms")


if __name__ == "__main__":
    main()
