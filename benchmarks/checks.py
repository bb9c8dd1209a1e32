"""Twelve checks and the full profile of a table, beside one DuckDB scan that computes the same aggregates, in the same run.

python benchmarks/checks.py [rows] [--peers PYTHON]

With `--peers` the same twelve checks run in Great Expectations and Pandera as well, from the same Parquet file, each in a process of
its own by an interpreter that has them: `python -m venv peers && peers/bin/pip install --group peers-checks pandas pyarrow`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from everloop.data import checks as check
from everloop.data.records import Suite
from everloop.data.service import Data
from everloop.data.suites import run_suite
from everloop.kernel.runtime import open_kernel
from everloop.kernel.settings import Settings

CHECKS = [
    *(check.not_null(f"f{number}") for number in range(4)),
    *(check.between(f"f{number}", -10, 10) for number in range(4)),
    *(check.between(f"i{number}", 0, 1_000_000) for number in range(2)),
    check.in_set("c0", [f"c{number}" for number in range(50)]),
    check.matches("c1", "c[0-9]+"),
]


def make_table(rows: int, *, seed: int = 0) -> pa.Table:
    random = np.random.default_rng(seed)
    columns: dict[str, Any] = {f"f{number}": random.normal(size=rows) for number in range(10)}
    columns |= {f"i{number}": random.integers(0, 1_000_000, rows) for number in range(4)}
    texts = {f"c{number}": np.char.add("c", random.integers(0, 50, rows).astype(str)) for number in range(3)}
    columns |= texts
    columns["text"] = np.char.add("user-", random.integers(0, rows, rows).astype(str))
    columns["flag"] = random.integers(0, 2, rows).astype(bool)
    table = pa.table(columns)
    return table.append_column(
        "time", pa.array(random.integers(0, 10**15, rows), pa.timestamp("us", tz="UTC"))
    )


def floor_query() -> str:
    """Return one aggregate over every column: what checks and profile ask, from DuckDB's own functions."""
    steps = [step / 50 for step in range(51)]
    asked = ["count(*)"]
    for number in range(10):
        name = f"f{number}"
        asked += [
            f"count({name})", f"approx_count_distinct({name})", f"min({name})", f"max({name})", f"avg({name})",
            f"stddev_samp({name})", f"approx_quantile({name}, {steps})", f"count(*) FILTER (NOT {name} BETWEEN -10 AND 10)",
        ]  # fmt: skip
    for number in range(4):
        name = f"i{number}"
        asked += [
            f"count({name})", f"approx_count_distinct({name})", f"min({name})", f"max({name})", f"avg({name})",
            f"stddev_samp({name})", f"approx_quantile({name}, {steps})",
        ]  # fmt: skip
    for name in ("c0", "c1", "c2"):
        asked += [f"count({name})", f"histogram({name})", f"min(length({name}))", f"max(length({name}))"]
    asked += [
        "count(text)",
        "approx_count_distinct(text)",
        "min(length(text))",
        "avg(length(text))",
        "max(length(text))",
    ]
    asked += [
        "count(flag)",
        "count(*) FILTER (flag)",
        "count(time)",
        "min(time)",
        "max(time)",
        "approx_count_distinct(time)",
    ]
    asked += ["count(*) FILTER (NOT regexp_full_match(c1, 'c[0-9]+'))"]
    return f"SELECT {', '.join(asked)} FROM rows"


def print_peers(python: str, file: Path, ours: float) -> None:
    """Print what the other libraries need for the same checks, and how many times ours that is."""
    script = Path(__file__).with_name("checks_peers.py")
    for library in ("great_expectations", "pandera_pandas", "pandera_polars"):
        done = subprocess.run([python, script, library, file], capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{library}: did not run: {done.stderr.strip().splitlines()[-1:]}")
            continue
        found = json.loads(done.stdout.strip().splitlines()[-1])
        total = found["read_s"] + found["check_s"]
        print(
            f"{library} {found['version']}: read {found['read_s']:.2f} s + check {found['check_s']:.2f} s = {total:.2f} s, "
            f"{total / ours:.1f} times ours ({ours:.2f} s, reading included)"
        )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("rows", type=int, nargs="?", default=5_000_000)
    parser.add_argument("--peers", default="", help="an interpreter with great-expectations and pandera")
    asked = parser.parse_args()
    rows: int = asked.rows
    with tempfile.TemporaryDirectory() as name:
        kernel = open_kernel(Settings(home=Path(name) / "home"))
        data, table, suite = Data(kernel), make_table(rows), Suite("twelve", CHECKS)
        file = Path(name) / "rows.parquet"
        pq.write_table(table, file, compression="zstd")
        data.add("t", file)
        stored = data.read("t")
        connection = duckdb.connect()
        connection.execute(f"CREATE VIEW rows AS SELECT * FROM read_parquet('{file}')")
        query = floor_query()
        connection.execute(query).fetchall()
        start = time.perf_counter()
        connection.execute(query).fetchall()
        floor = time.perf_counter() - start
        run_suite(suite, stored)  # as the scan above and the other libraries: on the second run
        start = time.perf_counter()
        result = run_suite(suite, stored)
        checked = time.perf_counter() - start
        start = time.perf_counter()
        data.profile("t")
        profiled = time.perf_counter() - start
        ours = checked + profiled
        print(f"{rows:,} rows x 20, one DuckDB scan: {floor:.2f} s; suite: {result.verdict}")
        print(f"checks {checked:.2f} s + profile {profiled:.2f} s = {ours:.2f} s, ratio {ours / floor:.2f}")
        if asked.peers:
            print_peers(asked.peers, file, checked)
        more = make_table(rows // 100, seed=1)
        data.add("t", more, mode="append")
        start = time.perf_counter()
        data.profile("t")
        appended = time.perf_counter() - start
        print(f"profile after 1 % appended: {appended:.3f} s = {appended / profiled:.1%} of the full one")
        kernel.close()


if __name__ == "__main__":
    main()
