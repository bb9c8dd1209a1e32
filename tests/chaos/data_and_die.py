"""Change a dataset in every way, and die at one commit point: `data_and_die.py HOME URL NUMBER`, 0 for no death."""

from __future__ import annotations

import sys
from pathlib import Path

from everloop.data.service import Data
from everloop.kernel.runtime import open_kernel
from everloop.kernel.settings import Settings
from everloop.testing.faults import CommitCount, kill_at_commit


def change(data: Data) -> str:
    """Bring the dataset to its end from wherever it is, as its versions tell; return the digest."""
    rows = {"k": list(range(200)), "v": [number / 2 for number in range(200)]}
    done = {version.operation for version in data.versions("t")} if data.list() else set()
    if "add" not in done:
        data.add("t", rows, keys=["k"])
    if "side" not in {ref.name for ref in data.refs("t")}:
        data.branch("t", "side", at="v1")
    if "upsert" not in done:
        data.add("t", {"k": [5, 500], "v": [0.0, 1.0]}, mode="upsert", branch="side")
    if "delete" not in done:
        data.remove("t", "k = 7")
    if "merge" not in done:
        data.merge("t", "side")
    return data.version("t").digest


def main() -> None:
    """Run and say the digest and how many commit points there were."""
    home, url, number = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    kernel = open_kernel(Settings(home=home, catalog_url=url))
    count = CommitCount(kernel.catalog)
    if number:
        kill_at_commit(kernel.catalog, number)
    digest = change(Data(kernel))
    print(digest, count.points)  # noqa: T201 - the test reads it
    kernel.close()


if __name__ == "__main__":
    main()
