"""Processes that claim waiting runs until none is left: `python claimers.py HOME CATALOG_URL COUNT FOLDER`.

Each task is as small as it can be, a line in the claimer's own file and the run's end written under its lease, so that what is
tested is the claiming. A file holds `run fence` lines, flushed before the end is written.
"""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from everloop.kernel import Kernel, open_kernel
from everloop.kernel.catalog.errors import CatalogUnavailableError
from everloop.kernel.settings import Settings
from everloop.pipelines.leases import Lease, claim_next, guarded
from everloop.pipelines.tables import pipeline_run

if TYPE_CHECKING:
    from collections.abc import Callable

R = TypeVar("R")


def claim_all(kernel: Kernel, file: Path) -> None:
    """Claim and end runs, one after the other.

    SQLite gives its lock to whoever asks at the right moment, so of sixteen that never pause one may wait for long; it asks again.
    """
    with file.open("w", encoding="utf-8", buffering=1) as lines:
        while (
            lease := patiently(lambda: claim_next(kernel.catalog, owner="w", now=kernel.clock.now()))
        ) is not None:
            print(lease.run, lease.fence, file=lines)
            patiently(functools.partial(end, kernel, lease))


def end(kernel: Kernel, lease: Lease) -> None:
    """Write the end of a run under its lease."""
    with guarded(kernel.catalog, lease) as connection:
        change = pipeline_run.update().where(pipeline_run.c.id == lease.run)
        connection.execute(change.values(status="finished", ended_at=kernel.clock.now()))


def patiently(call: Callable[[], R]) -> R:
    """Call again while the catalog is busy; nothing was written then."""
    while True:
        try:
            return call()
        except CatalogUnavailableError:
            continue


def main(home: str, url: str, count: str, folder: str) -> None:
    """Fork the claimers after everything was imported, let them open the home, start them at once, wait for them."""
    ready, start = os.pipe()
    children = []
    for number in range(int(count)):
        child = os.fork()
        if child:
            children.append(child)
            continue
        os.close(start)
        kernel = open_kernel(Settings(home=Path(home), catalog_url=url))
        os.read(ready, 1)  # the parent closes the other end
        claim_all(kernel, Path(folder) / f"{number}.txt")
        kernel.close()
        os._exit(0)
    os.close(start)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    raise SystemExit(max(codes, key=abs))


if __name__ == "__main__":
    main(*sys.argv[1:])
