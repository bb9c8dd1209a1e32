"""Everloop beside MLflow's own server, both asked by the unmodified MLflow client, in turns of one run.

    python benchmarks/mlflow_server.py --mlflow /path/of/python [--rounds 3] [--megabytes 200] [--files 2000]

`--mlflow` is an interpreter that has the full mlflow; its server keeps SQLite and a folder, with its own defaults. The best round of each counts.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RATES = ("log_metric / s", "log_batch, points / s", "create_run / s", "file up, MB / s", "file down, MB / s")
TIMES = ("small files up, s", "small files down, s", "first answer, s", "memory, MB")
GOALS = {"log_metric / s": 3.0, "log_batch, points / s": 4.0, "create_run / s": 5.0}


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


# -- the client, in the interpreter of MLflow ------------------------------------------------------------------------


def ask(url: str, megabytes: int, files: int) -> dict[str, float]:
    """Measure one server through MLflow's client."""
    import mlflow
    from mlflow.entities import Metric
    from mlflow.tracking import MlflowClient

    mlflow.set_tracking_uri(url)
    client = MlflowClient(url)
    experiment = client.create_experiment(f"benchmark {time.time_ns()}")
    run = client.create_run(experiment).info.run_id
    client.log_metric(run, "warm", 1.0)
    found = {}
    found["log_metric / s"] = 300 / seconds(
        lambda: [client.log_metric(run, "a", i / 7, step=i) for i in range(300)]
    )
    now = int(time.time() * 1000)
    batches = [[Metric("b", i / 7, now + i, i) for i in range(j * 1000, j * 1000 + 1000)] for j in range(20)]
    found["log_batch, points / s"] = 20_000 / seconds(
        lambda: [client.log_batch(run, metrics=batch) for batch in batches]
    )
    found["create_run / s"] = 100 / seconds(lambda: [client.create_run(experiment) for _ in range(100)])
    with tempfile.TemporaryDirectory() as folder:
        found |= _files(client, run, Path(folder), megabytes, files)
    return found


def _files(client: object, run: str, folder: Path, megabytes: int, files: int) -> dict[str, float]:
    large, many = folder / "large.bin", folder / "many"
    large.write_bytes(os.urandom(megabytes << 20))
    many.mkdir()
    for i in range(files):
        (many / f"{i}.txt").write_text(f"{i} {os.urandom(8).hex()}\n" * 20)
    back, backs = folder / "back", folder / "backs"
    back.mkdir()
    backs.mkdir()
    return {
        "file up, MB / s": megabytes / seconds(lambda: client.log_artifact(run, str(large))),  # type: ignore[attr-defined]
        "file down, MB / s": megabytes
        / seconds(lambda: client.download_artifacts(run, "large.bin", str(back))),  # type: ignore[attr-defined]
        "small files up, s": seconds(lambda: client.log_artifacts(run, str(many), "many")),  # type: ignore[attr-defined]
        "small files down, s": seconds(lambda: client.download_artifacts(run, "many", str(backs))),  # type: ignore[attr-defined]
    }


# -- the servers -----------------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def serving(command: list[str], folder: Path, port: int) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """Run a server; give its process and the seconds to its first answer."""
    began = time.perf_counter()
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    try:
        while True:
            if process.poll() is not None:
                raise SystemExit((folder / "log").read_text()[-3000:])
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                break
            time.sleep(0.02)
        yield process, time.perf_counter() - began
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(15)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def memory(process: subprocess.Popen[bytes]) -> float:
    """Return the memory of a session in MB: what its processes do not share, and their shares of the rest."""
    total = 0
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError):
            if os.getsid(int(place.name)) == process.pid:
                lines = (place / "smaps_rollup").read_text().splitlines()
                total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def everloop(folder: Path, port: int) -> list[str]:
    home = ["--home", str(folder / "home")]
    return [sys.executable, "-m", "everloop", *home, "up", "--role", "api", "--port", str(port)]


def mlflow_own(python: str) -> Callable[[Path, int], list[str]]:
    def command(folder: Path, port: int) -> list[str]:
        store = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
        places = ["--artifacts-destination", str(folder / "artifacts"), "--host", "127.0.0.1"]
        return [python, "-m", "mlflow", "server", *store, *places, "--port", str(port)]

    return command


def measure(
    server: Callable[[Path, int], list[str]], python: str, *, megabytes: int, files: int
) -> dict[str, float]:
    """Start a server anew, and let MLflow's client measure it."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        with serving(server(Path(folder), port), Path(folder), port) as (process, first):
            options = [
                "--ask",
                f"http://127.0.0.1:{port}",
                "--megabytes",
                str(megabytes),
                "--files",
                str(files),
            ]
            quiet = {"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false", "GIT_PYTHON_REFRESH": "quiet"}
            done = subprocess.run(
                [python, __file__, *options],
                env={**os.environ, **quiet},
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise SystemExit(done.stderr[-3000:])
            found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
            return found | {"first answer, s": first, "memory, MB": memory(process)}


def main() -> None:
    """Print both sides and their ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mlflow", default=sys.executable)
    parser.add_argument("--ask", default="")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--files", type=int, default=2000)
    options = parser.parse_args()
    if options.ask:
        print(json.dumps(ask(options.ask, options.megabytes, options.files)))
        return
    sides: dict[str, list[dict[str, float]]] = {"Everloop": [], "MLflow": []}
    for _ in range(options.rounds):
        for name, server in (("Everloop", everloop), ("MLflow", mlflow_own(options.mlflow))):
            found = measure(server, options.mlflow, megabytes=options.megabytes, files=options.files)
            print(name, {key: round(value, 2) for key, value in found.items()}, flush=True)
            sides[name].append(found)
    print(f"{'':24}{'Everloop':>12}{'MLflow':>12}{'ratio':>9}")
    for key in (*RATES, *TIMES):
        best = max if key in RATES else min
        mine, theirs = (best(found[key] for found in sides[name]) for name in sides)
        ratio = mine / theirs if key in RATES else theirs / mine
        goal = f"   goal {GOALS[key]:g}" if key in GOALS else ""
        print(f"{key:24}{mine:12,.1f}{theirs:12,.1f}{ratio:8.1f}x{goal}")


if __name__ == "__main__":
    main()
