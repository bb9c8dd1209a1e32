"""The most memory that each verb takes on a large dataset, each verb in a process of its own.

python benchmarks/memory.py [gigabytes] [verb ...]
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from everloop.data import checks as check
from everloop.data.records import Suite
from everloop.data.service import Data
from everloop.kernel.runtime import open_kernel
from everloop.kernel.settings import Settings

_GROUP = 1_000_000
_ROW_BYTES = 96
# The first makes what the others need.
VERBS = [
    "add",
    "profile",
    "add again with 1 % changed",
    "diff of rows",
    "checks",
    "remove",
    "put aside",
    "get",
]


def write_file(path: Path, rows: int, *, is_edited: bool) -> None:
    """Write incompressible rows; of the edited file one in a hundred differs."""
    with pq.ParquetWriter(path, _piece(0, 1, is_edited=False).schema, compression="none") as writer:
        for start in range(0, rows, _GROUP):
            writer.write_table(_piece(start, min(_GROUP, rows - start), is_edited=is_edited))


def _piece(start: int, rows: int, *, is_edited: bool) -> pa.Table:
    random = np.random.default_rng(start)
    columns = {f"f{number}": random.random(rows) for number in range(11)}
    if is_edited:
        columns["f0"] = np.where(np.arange(rows) % 100 == 0, 2.0, columns["f0"])
    return pa.table({"id": np.arange(start, start + rows), **columns})


def run(home: Path, verb: str, file: Path) -> None:
    """Run one verb and print its seconds and peak."""
    kernel = open_kernel(Settings(home=home))
    data = Data(kernel)
    start = time.perf_counter()
    if verb in ("add", "add again with 1 % changed"):
        data.add("t", file)
    elif verb == "profile":
        data.profile("t")
    elif verb == "diff of rows":
        data.diff("t@v1", "t@v2", level="rows")
    elif verb == "checks":
        data.check(
            "t", suite=Suite("s", [check.not_null("id"), check.between("f1", 0, 1), check.unique("id")])
        )
    elif verb == "remove":
        data.remove("t", "f1 < 0.01")
    elif verb == "put aside":
        suite = Suite("s", [check.between("f1", 0.01, 1, severity="quarantine")])
        data.add("aside", file, suite=suite)
    elif verb == "get":
        data.export("t", file.with_name("again.parquet"))
    spent = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{verb}: {spent:.0f} s, peak {peak:.2f} GB")
    kernel.close()


def main() -> None:
    """Print the figures."""
    if len(sys.argv) > 2 and sys.argv[1] == "run":
        run(Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
        return
    gigabytes = float(sys.argv[1]) if len(sys.argv) > 1 else 10
    chosen = sys.argv[2:] or VERBS
    rows = int(gigabytes * 1e9 / _ROW_BYTES)
    with tempfile.TemporaryDirectory() as name:
        file, home = Path(name) / "rows.parquet", Path(name) / "home"
        write_file(file, rows, is_edited=False)
        print(f"{rows:,} rows x 12, {file.stat().st_size / 1e9:.1f} GB", flush=True)
        for verb in chosen:
            if "again" in verb:
                write_file(file, rows, is_edited=True)
            subprocess.run([sys.executable, __file__, "run", str(home), verb, str(file)], check=True)


if __name__ == "__main__":
    main()
