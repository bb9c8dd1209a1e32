"""What a step costs: durable in process, from the cache, in a warm process; beside a bare SQLite commit of the same pragmas.

python benchmarks/pipelines.py [--peers PYTHON]

With `--peers` a chain of steps runs in Prefect, Dagster and Metaflow as well, as far as that interpreter has them:
`python -m venv peers && peers/bin/pip install --group peers-pipelines`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from floors import sqlite_commits_s

from everloop.data.service import Data
from everloop.kernel.runtime import open_kernel
from everloop.kernel.settings import Settings
from everloop.pipelines import artifacts, pipeline, step
from everloop.pipelines.codecs.protocol import Store
from everloop.pipelines.graph import trace
from everloop.pipelines.service import Pipelines
from everloop.tracking import Tracking

if TYPE_CHECKING:
    from everloop.pipelines.steps import AnyPipeline

STEPS = 100
FAN = 200
WIDE = 10_000
ROUNDS = 5
ARRAY_BYTES = 200_000_000
ARRAY_ROUNDS = 7
SHELL_ROUNDS = 7
ONE_STEP = """
from everloop.pipelines import pipeline, step

@step
def add(x: int) -> int:
    return x + 1

@pipeline
def one(x: int = 1) -> int:
    return add(x)
"""


@step
def add(x: int) -> int:
    """Add one."""
    return x + 1


@pipeline
def hundred(x: int) -> int:
    """Add a hundred, one by one."""
    for _ in range(STEPS):
        x = add(x)
    return x


@pipeline
def none(x: int) -> int:
    """Do nothing: the cost of a run without steps."""
    return x


@step
def many(count: int) -> list[int]:
    """Return the numbers below."""
    return list(range(count))


@step
def total(xs: list[int]) -> int:
    """Return the sum."""
    return sum(xs)


@pipeline
def fan(x: int) -> int:
    """Map over so many items and take them together."""
    return total(add.map(many(x)))


@pipeline
def wide(x: int) -> int:
    """Call the step ten thousand times and take the results together."""
    return total([add(x) for _ in range(WIDE)])


def floor_ms(folder: Path) -> float:
    """Return the median milliseconds of an insert and commit in plain sqlite3."""
    return (
        statistics.median(sqlite_commits_s(folder / "floor.db", ("done", "[1, 2, 3]"), commits=1000)) * 1000
    )


def median_run_ms(
    pipelines: Pipelines, flow: AnyPipeline, *, executor: str = "inline", cache: bool, first: int
) -> float:
    """Return the median milliseconds of a whole run."""
    times = []
    for number in range(ROUNDS):
        began = time.perf_counter()
        run = pipelines.run(
            flow, {"x": first if cache else first + number * 10_000}, executor=executor, cache=cache
        )
        times.append(time.perf_counter() - began)
        if run.status != "finished":
            raise SystemExit(run.error)
    return statistics.median(times) * 1000


def array_s(folder: Path, store: Store) -> tuple[float, float]:
    """Return the median seconds in which an array of 200 MB is saved, mapped and read: by NumPy, and as an artifact.

    Both are taken in turn, each on an array of its own. The first round, which also makes the disk's cache grow, does not count.
    """
    source = np.random.default_rng(0)
    bare, ours = [], []
    file = folder / "array.npy"
    for _ in range(ARRAY_ROUNDS + 1):
        value = source.random(ARRAY_BYTES // 8)
        began = time.perf_counter()
        np.save(file, value)
        np.load(file, mmap_mode="r").sum()
        bare.append(time.perf_counter() - began)
        file.unlink()
        began = time.perf_counter()
        artifact = artifacts.dump(value, store, where="value")
        again: Any = artifacts.load(artifact, store)
        again.sum()
        ours.append(time.perf_counter() - began)
        store.objects.delete(artifact.digest)
    return statistics.median(bare[1:]), statistics.median(ours[1:])


def shell_s(folder: Path) -> tuple[float, float]:
    """Return the median seconds of a Python that does nothing, and of `everloop run` of a pipeline of one step."""
    script = folder / "one.py"
    script.write_text(ONE_STEP)
    environment = os.environ | {"EVERLOOP_HOME": str(folder / "shell")}
    commands = {
        "bare": [sys.executable, "-c", "pass"],
        "ours": [sys.executable, "-m", "everloop", "run", str(script), "--no-cache"],
    }
    subprocess.run(commands["ours"], check=True, capture_output=True, env=environment)  # makes the home
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(SHELL_ROUNDS):
        for name, command in commands.items():
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True, env=environment)
            times[name].append(time.perf_counter() - began)
    return statistics.median(times["bare"]), statistics.median(times["ours"])


def main() -> None:
    """Print the figures as ratios to the floor."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--peers", default="", help="an interpreter with prefect, dagster and metaflow")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kernel = open_kernel(Settings(home=folder / ".everloop"))
        pipelines = Pipelines(kernel, data=Data(kernel), tracking=Tracking(kernel))
        floor = floor_ms(folder)
        empty = median_run_ms(pipelines, none, cache=False, first=0)
        inline = (median_run_ms(pipelines, hundred, cache=False, first=1) - empty) / STEPS
        pipelines.run(hundred, {"x": 7}, cache=True)
        cached = median_run_ms(pipelines, hundred, cache=True, first=7) - empty
        pipelines.run(hundred, {"x": 8}, executor="process", cache=False)
        process = (
            median_run_ms(pipelines, hundred, executor="process", cache=False, first=9) - empty
        ) / STEPS
        pipelines.run(fan, {"x": 3}, executor="process", workers=2, cache=False)
        began = time.perf_counter()
        pipelines.run(fan, {"x": FAN}, executor="process", workers=2, cache=False)
        fanned = time.perf_counter() - began
        began = time.perf_counter()
        trace(wide)
        planned = time.perf_counter() - began
        began = time.perf_counter()
        pipelines.run(wide, {"x": 1}, cache=False)
        widened = time.perf_counter() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        bare, stored = array_s(folder, Store(kernel.objects, kernel.home / "scratch"))
        kernel.close()
        python, shell = shell_s(folder)
    print(f"sqlite3 insert and commit (floor)   {floor:8.3f} ms")
    print(f"a run without steps                 {empty:8.2f} ms")
    print(
        f"durable in-process step             {inline:8.3f} ms   {inline / floor:6.1f} x floor   (reach: < 1 ms)"
    )
    print(
        f"100 cached steps                    {cached:8.2f} ms   {cached / floor:6.1f} x floor   (reach: < 50 ms)"
    )
    print(
        f"warm process step                   {process:8.3f} ms   {process / floor:6.1f} x floor   (reach: < 5 ms)"
    )
    print(f"1 -> {FAN} -> 1 on 2 processes         {fanned:8.2f} s    (reach: < 1 s)")
    print(f"graph of {WIDE:,} steps, drawn       {planned:8.2f} s    (reach: < 1 s)")
    print(
        f"graph of {WIDE:,} steps, run         {widened:8.2f} s    {widened / WIDE * 1000:.2f} ms a step, peak {peak:.0f} MB"
    )
    print(
        f"200 MB array to the next step       {stored * 1000:8.1f} ms   {stored / bare:6.2f} x np.save and np.load(mmap_mode)"
    )
    print(
        f"`everloop run` of one step          {shell:8.2f} s    {shell / python:6.1f} x `python -c pass`   (reach: < 0.7 s)"
    )
    if asked.peers:
        print_peers(asked.peers, inline)


def print_peers(python: str, ours: float) -> None:
    """Print what a step costs in other engines, beside ours."""
    script = Path(__file__).with_name("pipelines_peers.py")
    for engine, steps in (("prefect", 50), ("dagster", 50), ("metaflow", 8)):
        environment = os.environ | {"PREFECT_LOGGING_LEVEL": "ERROR", "DAGSTER_DISABLE_TELEMETRY": "1"}
        command = [python, str(script), engine, str(steps)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=180, check=True, env=environment
            )
        except (subprocess.SubprocessError, OSError) as error:
            print(f"{engine:35} did not run: {str(error)[:80]}")
            continue
        spent = json.loads(done.stdout.strip().rpartition("\n")[2])["ms"]
        print(f"a step in {engine:25} {spent:8.1f} ms   {spent / ours:6.1f} x ours")


if __name__ == "__main__":
    main()
