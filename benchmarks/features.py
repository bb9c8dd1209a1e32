"""The point-in-time join of 1M entities with 10M rows, beside DuckDB's bare ASOF join in the same run.

python benchmarks/features.py [rows]
"""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa

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


if __name__ == "__main__":
    main()
