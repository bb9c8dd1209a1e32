"""A short pipeline for chaos tests."""

from __future__ import annotations

import os
import time
from pathlib import Path

from everloop.pipelines import pipeline, step
from everloop.tracking import log


@step
def first(x: int) -> bytes:
    log(x=x)
    return b"a" * (5000 + x)


@step
def second(rows: bytes) -> int:
    return len(rows)


@pipeline
def short(x: int) -> int:
    return second(first(x))


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
