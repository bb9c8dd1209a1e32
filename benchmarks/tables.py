"""What edits of a large table cost in the store, and reading and comparing it, beside bare Parquet and DuckDB in the same run.

    python benchmarks/tables.py [rows]

Every edit comes as a rewritten Parquet file that is added again, as users of file-based tools do.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from everloop.data.service import Data
from everloop.kernel.runtime import open_kernel
from everloop.kernel.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 3


def make_table(rows: int) -> pa.Table:
    random = np.random.default_rng(0)
    return pa.table(
        {
            "id": np.arange(rows),
            "a": random.normal(size=rows),
            "b": random.normal(size=rows),
            "n": random.integers(0, 1_000, rows),
            "s": pa.array(random.integers(0, 1_000, rows).astype(str)),
            "t": pa.array(np.arange(rows) * 1_000_000, pa.timestamp("us", tz="UTC")),
        }
    )


def edits(table: pa.Table) -> dict[str, pa.Table]:
    n, random = table.num_rows, np.random.default_rng(1)
    which = np.zeros(n, bool)
    which[random.choice(n, n // 100, replace=False)] = True
    changed = np.where(which, 0.5, table.column("a").to_numpy())
    fresh = make_table(n // 100)
    fresh = fresh.set_column(0, "id", pa.array(np.arange(n, n + n // 100)))
    return {
        "1 % updated at random": table.set_column(1, "a", pa.array(changed)),
        "1 % deleted at random": table.filter(pa.array(~which)),
        "1 % inserted in the middle": pa.concat_tables([table.slice(0, n // 2), fresh, table.slice(n // 2)]),
        "1 % appended": pa.concat_tables([table, fresh]),
    }


def best(call: Callable[[], object]) -> float:
    """Return the seconds of the fastest of some calls."""
    found = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return min(found)


def main() -> None:
    """Print the figures."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kernel = open_kernel(Settings(home=folder / "home"))
        data, table = Data(kernel), make_table(rows)
        files = {"base": folder / "base.parquet"}
        pq.write_table(table, files["base"], compression="zstd")
        start = time.perf_counter()
        first = data.add("t", files["base"], keys=["id"])
        print(
            f"{rows:,} rows x 6: {first.stored_bytes:,} bytes, added in {time.perf_counter() - start:.1f} s"
        )
        for title, edited in edits(table).items():
            file = folder / "edited.parquet"
            pq.write_table(edited, file, compression="zstd")
            if "updated" in title:
                files["updated"] = folder / "updated.parquet"
                pq.write_table(edited, files["updated"], compression="zstd")
            data.branch("t", f"e{len(title)}{title.split()[2]}", at="v1")
            start = time.perf_counter()
            found = data.add("t", file, branch=f"e{len(title)}{title.split()[2]}")
            spent = time.perf_counter() - start
            share = found.stored_bytes / first.stored_bytes
            print(f"{title}: {share:.2%} new bytes ({found.operation} in {spent:.1f} s)")
        updated = next(ref.name for ref in data.refs("t") if "updated" in ref.name)
        _reading(data, updated, files)
        _diff(data, updated, files)
        kernel.close()


def _reading(data: Data, updated: str, files: dict[str, Path]) -> None:
    floor = best(lambda: pq.read_table(files["updated"]))
    merged = best(lambda: data.read(f"t@{updated}").to_arrow())
    print(f"read merged: {merged:.2f} s, one plain Parquet {floor:.2f} s, ratio {merged / floor:.2f}")


def _diff(data: Data, updated: str, files: dict[str, Path]) -> None:
    names = ["a", "b", "n", "s", "t"]
    differs = " OR ".join(f"o.{name} IS DISTINCT FROM n.{name}" for name in names)
    query = (
        "SELECT count(*) FILTER (o.id IS NULL), count(*) FILTER (n.id IS NULL), "
        f"count(*) FILTER (o.id IS NOT NULL AND n.id IS NOT NULL AND ({differs})) "
        f"FROM read_parquet('{files['base']}') o FULL JOIN read_parquet('{files['updated']}') n USING (id)"
    )
    connection = duckdb.connect()
    floor = best(lambda: connection.execute(query).fetchall())
    # The profiles are known beforehand, so that rows alone are timed.
    data.diff("t@v1", f"t@{updated}", level="statistics")
    ours = best(lambda: data.diff("t@v1", f"t@{updated}", level="rows"))
    found = data.diff("t@v1", f"t@{updated}", level="rows").rows
    print(
        f"row diff: {ours:.2f} s, bare DuckDB join {floor:.2f} s, ratio {ours / floor:.2f}; {found and found.changed:,} changed"
    )


if __name__ == "__main__":
    main()
