"""Object put of 10,000 small objects, against one file write of the same bytes with fsync.

python benchmarks/objects.py
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path

from everloop.kernel.catalog import Catalog
from everloop.kernel.objects import ObjectStore

COUNT = 10_000
SIZE_BYTES = 1_000
ROUNDS = 5


def floor_s(folder: Path, contents: list[bytes]) -> float:
    """Return the time of one write and fsync of all bytes."""
    started = time.perf_counter()
    with (folder / "floor").open("wb", buffering=0) as file:
        file.write(b"".join(contents))
        os.fsync(file.fileno())
    return time.perf_counter() - started


def put_s(store: ObjectStore, contents: list[bytes]) -> float:
    """Return the time of one `put_many`."""
    started = time.perf_counter()
    store.put_many(contents)
    return time.perf_counter() - started


def main() -> None:
    """Print the medians and their ratio."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = ObjectStore(
            Catalog(f"sqlite:///{folder}/catalog.db"), f"{folder}/store", cache=folder / "cache"
        )
        floors, puts, again = [], [], []
        for round_number in range(ROUNDS):
            tail = os.urandom(SIZE_BYTES - 16)
            contents = [b"%04d%012d" % (round_number, number) + tail for number in range(COUNT)]
            floors.append(floor_s(folder, contents))
            puts.append(put_s(store, contents))
            again.append(put_s(store, contents))
    floor, put, repeated = map(statistics.median, (floors, puts, again))
    print(f"object put of {COUNT:,} small objects ({SIZE_BYTES:,} bytes each, one pack, rows in the catalog)")
    print(f"  floor: one file write of the same bytes with fsync   {floor * 1e3:8.1f} ms")
    print(
        f"  put_many                                             {put * 1e3:8.1f} ms   {put / floor:6.1f} x floor"
    )
    print(
        f"  put_many of objects the store has                    {repeated * 1e3:8.1f} ms   {repeated / floor:6.1f} x floor"
    )


if __name__ == "__main__":
    main()
