"""Ray nodes for tests: each is `ray start`, as an operator runs it, and ends with all its processes."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator

# The object store of a node: nothing of ours is kept there, so it stays small.
STORE_BYTES = 100_000_000
_START_S = 60.0
_END_S = 15.0


@contextmanager
def head(*, cpus: int) -> Iterator[str]:
    """Start the first node of a cluster on loopback; give its address."""
    port = _free_port()
    address = f"127.0.0.1:{port}"
    with _node(["--head", f"--port={port}", "--include-dashboard=false"], cpus=cpus):
        yield address


@contextmanager
def another_node(address: str, *, cpus: int) -> Iterator[None]:
    """Start one more node of the cluster at an address."""
    with _node([f"--address={address}"], cpus=cpus):
        yield


@contextmanager
def _node(options: list[str], *, cpus: int) -> Iterator[None]:
    program = Path(sys.executable).with_name("ray")
    command = [
        str(program),
        "start",
        *options,
        "--node-ip-address=127.0.0.1",
        f"--num-cpus={cpus}",
        f"--object-store-memory={STORE_BYTES}",
        "--disable-usage-stats",
        "--block",
    ]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"RAY_USAGE_STATS_ENABLED": "0", "PYTHONUNBUFFERED": "1"},
        text=True,
    )
    try:
        _await_start(process)
        yield
    finally:
        _end(process)


def _await_start(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    deadline = time.monotonic() + _START_S
    said = []
    for line in process.stdout:
        said.append(line)
        if "Ray runtime started" in line:
            return
        assert time.monotonic() < deadline, "".join(said)
    raise AssertionError("".join(said))


def _end(process: subprocess.Popen[str]) -> None:
    """Stop a node; nothing it started may be left."""
    started = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_END_S)
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
    _, left = psutil.wait_procs(started, timeout=_END_S)
    for one in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    assert not left, f"processes of a Ray node outlived it: {left}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
