"""The point-in-time join of 1M entities with 10M rows, beside DuckDB's bare ASOF join in the same run; then look-ups.

A look-up of one key stands beside a bare `select` of the same row by sqlite3, and a materialisation of what 1 % of late rows
changed beside a whole one.

python benchmarks/features.py [rows]
"""

from __future__ import annotations

import sqlite3
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa

import everloop
from everloop.data.features.joining import join_features
from everloop.data.features.records import FeatureView
from everloop.data.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 3


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
    join(rows)
    with tempfile.TemporaryDirectory() as home:
        look_up(Path(home), rows // 10)


def join(rows: int) -> None:
    """Print the figures of the join."""
    random, moment = np.random.default_rng(0), pa.timestamp("us", tz="UTC")
    times = random.integers(0, 10**12, rows)
    source = pa.table(
        {
            "k": random.integers(0, rows // 100, rows),
            "t": pa.array(times, moment),
            "known": pa.array(times + random.integers(0, 10**10, rows), moment),
            "x": random.normal(size=rows),
        }
    )
    entities = pa.table(
        {
            "k": random.integers(0, rows // 100, rows // 10),
            "at": pa.array(random.integers(0, 10**12, rows // 10), moment),
        }
    )
    connection = duckdb.connect()
    connection.register("s", source)
    connection.register("e", entities)
    bare = "SELECT e.*, s.x FROM e ASOF LEFT JOIN s ON e.k = s.k AND e.at >= s.t"
    floor = best(lambda: connection.sql(bare).to_arrow_table())
    print(f"{rows // 10:,} entities, {rows:,} rows; bare ASOF {floor:.2f} s")
    for known in ("", "known"):
        view = FeatureView(
            name="v", source="s", keys=["k"], features={"x": "x"}, event_time="t", known_time=known
        )
        ours = best(partial(join_features, Table(arrow=entities), [(view, Table(arrow=source))], time="at"))
        print(f"{'two clocks' if known else 'one clock'}: {ours:.2f} s, ratio {ours / floor:.2f}")


def readings(rows: int, keys: int, seed: int) -> pa.Table:
    random = np.random.default_rng(seed)
    return pa.table(
        {
            "k": pa.array([f"key {number}" for number in random.integers(0, keys, rows)]),
            "t": pa.array(random.integers(0, 10**15, rows), pa.timestamp("us", tz="UTC")),
            "x": random.normal(size=rows),
        }
    )


def look_up(home: Path, rows: int) -> None:
    """Print the figures of materialisation and look-up."""
    keys = rows // 10
    with everloop.connect(home=home / "home") as app:
        app.data.add("s", readings(rows, keys, 1), event_time="t")
        app.data.save_view(FeatureView(name="v", source="s", keys=["k"], features={"x": "x"}, event_time="t"))
        whole = timed(partial(app.data.materialize, "v"))
        app.data.add("s", readings(keys // 100, keys, 2), mode="append")
        part = timed(partial(app.data.materialize, "v"))
        print(
            f"materialise {keys:,} keys of {rows:,} rows: {whole:.2f} s; 1 % of the keys late: {part:.2f} s"
        )
        database = sqlite3.connect(app.kernel.home / "catalog.db")
        key = database.execute("SELECT key FROM feature_row LIMIT 1").fetchone()[0]
        bare = "SELECT rows FROM feature_row WHERE name = 'v' AND version = 1 AND key = ?"
        floor = median(lambda: database.execute(bare, (key,)).fetchall())
        database.close()
        rows_us = median(lambda: app.data.online_rows("v", keys=[key]))
        table_us = median(lambda: app.data.online("v", [key[2:-2]]))
        print(
            f"one key: bare select {floor:.0f} µs, values {rows_us:.0f} µs, ratio {rows_us / floor:.1f}, table {table_us:.0f} µs"
        )


def timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def median(call: Callable[[], object]) -> float:
    """Return the microseconds of a usual call."""
    call()
    return statistics.median(timed(call) for _ in range(1_000)) * 1e6


if __name__ == "__main__":
    main()
