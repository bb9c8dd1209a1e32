"""Materialise a view and die at one commit point: `materialize_and_die.py HOME URL NUMBER`, 0 for no death."""

from __future__ import annotations

import sys
from pathlib import Path

from everloop.data.service import Data
from everloop.kernel.runtime import open_kernel
from everloop.kernel.settings import Settings
from everloop.testing.faults import CommitCount, kill_at_commit


def main() -> None:
    """Run and say how many commit points there were."""
    home, url, number = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    kernel = open_kernel(Settings(home=home, catalog_url=url))
    count = CommitCount(kernel.catalog)
    if number:
        kill_at_commit(kernel.catalog, number)
    Data(kernel).materialize("v")
    print(count.points)  # noqa: T201 - the test reads it
    kernel.close()


if __name__ == "__main__":
    main()
