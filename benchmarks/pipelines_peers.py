"""One chain of small steps in other engines, each as its own tutorial runs it on one machine; prints milliseconds a step as JSON.

Run by `benchmarks/pipelines.py --peers PYTHON` with an interpreter that has them: python pipelines_peers.py ENGINE STEPS
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def prefect(steps: int) -> float:
    """Call tasks in a flow; the engine keeps states in its own server, started before the clock."""
    from prefect import flow, task

    @task  # type: ignore[untyped-decorator]
    def add(x: int) -> int:
        return x + 1

    @flow  # type: ignore[untyped-decorator]
    def chain(count: int) -> int:
        x = 0
        for _ in range(count):
            x = add(x)
        return x

    chain(1)
    began = time.perf_counter()
    if chain(steps) != steps:
        raise SystemExit("prefect gave another result")
    return time.perf_counter() - began


def dagster(steps: int) -> float:
    """Execute a job in process, with an instance on the disk."""
    from dagster import DagsterInstance, job, op

    @op  # type: ignore[untyped-decorator]
    def zero() -> int:
        return 0

    @op  # type: ignore[untyped-decorator]
    def add(x: int) -> int:
        return x + 1

    @job  # type: ignore[untyped-decorator]
    def chain() -> None:
        x = zero()
        for number in range(steps):
            x = add.alias(f"add{number}")(x)

    with DagsterInstance.local_temp() as instance:
        chain.execute_in_process(instance=instance)
        began = time.perf_counter()
        if not chain.execute_in_process(instance=instance).success:
            raise SystemExit("dagster failed")
        return time.perf_counter() - began


def metaflow(steps: int) -> float:
    """Run a flow of so many linear steps from the command line, as it is made to be."""
    lines = [
        "from metaflow import FlowSpec, step",
        "class Chain(FlowSpec):",
        "    @step",
        "    def start(self):",
        "        self.x = 0",
        "        self.next(self.s0)",
    ]
    for number in range(steps):
        following = f"s{number + 1}" if number + 1 < steps else "end"
        lines += [
            "    @step",
            f"    def s{number}(self):",
            "        self.x += 1",
            f"        self.next(self.{following})",
        ]
    lines += [
        "    @step",
        "    def end(self):",
        "        assert self.x > 0",
        "if __name__ == '__main__':",
        "    Chain()",
    ]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "chain.py"
        file.write_text("\n".join(lines))
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, str(file), "--no-pylint", "run"],
            cwd=folder,
            check=True,
            capture_output=True,
            env=os.environ | {"METAFLOW_USER": "bench"},
        )
        return time.perf_counter() - began


def main() -> None:
    """Print the figure of one engine."""
    engine, steps = sys.argv[1], int(sys.argv[2])
    spent = {"prefect": prefect, "dagster": dagster, "metaflow": metaflow}[engine](steps)
    print(json.dumps({"engine": engine, "ms": spent / steps * 1000}))


if __name__ == "__main__":
    main()
