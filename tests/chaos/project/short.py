"""A short pipeline for chaos tests."""

from __future__ import annotations

import os
import time
from pathlib import Path

from everloop.pipelines import pipeline, step, when
from everloop.tracking import log


@step
def first(x: int) -> bytes:
    log(x=x)
    return b"a" * (5000 + x)


@step
def second(rows: bytes) -> int:
    return len(rows)


@step
def cut(rows: bytes) -> list[bytes]:
    return [rows[:2000], rows[2000:]]


@step
def is_long(size: int) -> bool:
    return size > 100


@step
def total(sizes: list[int], size: int) -> int:
    return sum(sizes) + size


@step
def shorten(size: int) -> int:
    return -size


@step
def lengthen(size: int) -> int:
    return 2 * size


@pipeline
def short(x: int) -> int:
    rows = first(x)
    size = second(rows)
    return total(second.map(cut(rows)), when(is_long(size), shorten, lengthen)(size))


@step(cache=False)
def slow(folder: str) -> int:
    (Path(folder) / f"began-{os.getpid()}").touch()
    until = time.monotonic() + 30
    while not (Path(folder) / f"go-{os.getpid()}").exists() and time.monotonic() < until:
        time.sleep(0.01)
    return os.getpid()


@pipeline
def frozen(folder: str) -> int:
    return slow(folder)
