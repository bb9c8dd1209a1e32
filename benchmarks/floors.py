"""Floors that several benchmarks are measured against, taken in the same run on the same disk."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=NORMAL",
    "foreign_keys=ON",
    "temp_store=MEMORY",
    "cache_size=-32000",
)


def sqlite_commits_s(file: Path, row: tuple[str, ...], *, commits: int, rows_each: int = 1) -> list[float]:
    """Return the seconds of each insert and commit in plain sqlite3, with the catalog's pragmas.

    Args:
        file: of the database; made on first use.
        row: what is inserted.
        commits: how many are timed.
        rows_each: rows inserted in each transaction.
    """
    names = ", ".join(f"c{place} TEXT" for place in range(len(row)))
    marks = ", ".join("?" for _ in row)
    times = []
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        connection.execute(f"CREATE TABLE IF NOT EXISTS floor (id INTEGER PRIMARY KEY, {names})")
        insert = f"INSERT INTO floor ({', '.join(f'c{place}' for place in range(len(row)))}) VALUES ({marks})"
        for _ in range(commits):
            began = time.perf_counter()
            connection.execute("BEGIN IMMEDIATE")
            for _ in range(rows_each):
                connection.execute(insert, row)
            connection.execute("COMMIT")
            times.append(time.perf_counter() - began)
    return times
