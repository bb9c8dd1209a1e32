"""Servers on loopback for the tests that need one: S3, and our own API."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def s3_options() -> Iterator[dict[str, str]]:
    """Start moto with the bucket `everloop`; give the options of the object store."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    options = {
        "endpoint": f"http://{host}:{port}",
        "access_key_id": "testing",
        "secret_access_key": "testing",
        "region": "us-east-1",
    }
    import urllib3

    urllib3.request("PUT", f"{options['endpoint']}/everloop")
    yield options
    server.stop()


class Server(NamedTuple):
    """A running API of its own process."""

    url: str
    token: str
    home: Path


@pytest.fixture(scope="module")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run `everloop up --role api` on a free port, with a token."""
    home = tmp_path_factory.mktemp("server") / ".everloop"
    port = free_port()
    environment = {name: text for name, text in os.environ.items() if not name.startswith("EVERLOOP_")}
    environment |= {"EVERLOOP_TOKEN": "secret", "EVERLOOP_API_PORT": str(port)}
    command = [sys.executable, "-m", "everloop", "--home", str(home), "up", "--role", "api"]
    process = subprocess.Popen(command, env=environment, cwd=home.parent)
    try:
        await_answer(f"http://127.0.0.1:{port}/health", process)
        yield Server(f"http://127.0.0.1:{port}", "secret", home)
    finally:
        process.terminate()
        process.wait(15)


def free_port() -> int:
    """Return a port on which nothing listens, nor on the next one."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            with suppress(OSError, OverflowError):
                second.bind(("127.0.0.1", port + 1))
                return port


def await_answer(url: str, process: subprocess.Popen[bytes] | None = None, *, within_s: float = 30) -> None:
    """Wait until a GET is answered by anything below 500."""
    import urllib3

    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        assert process is None or process.poll() is None, (
            f"the server ended with {process and process.returncode}"
        )
        with suppress(urllib3.exceptions.HTTPError):
            if urllib3.request("GET", url, retries=False, timeout=2).status < 500:
                return
        time.sleep(0.05)
    raise TimeoutError(url)
