"""Fixtures every test may use: kernels on SQLite and PostgreSQL, a clock that stands still."""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from everloop.core.clock import Clock, ManualClock
from everloop.kernel import Kernel, open_kernel
from everloop.kernel.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator


class MakeKernel(Protocol):
    """Opens kernels and closes them after the test."""

    def __call__(
        self, *, home: Path | None = None, clock: Clock | None = None, **settings: object
    ) -> Kernel: ...


@pytest.fixture
def clock() -> ManualClock:
    """Stand at the first of February 2013."""
    return ManualClock(datetime(2013, 2, 1, tzinfo=UTC))


@pytest.fixture
def make_kernel(tmp_path: Path) -> Iterator[MakeKernel]:
    opened: list[Kernel] = []

    def make(*, home: Path | None = None, clock: Clock | None = None, **settings: object) -> Kernel:
        chosen = Settings(home=home or tmp_path / ".everloop", **settings)  # type: ignore[arg-type]
        kernel = open_kernel(chosen, clock=clock)
        opened.append(kernel)
        return kernel

    yield make
    for kernel in reversed(opened):
        kernel.close()


@pytest.fixture
def kernel(make_kernel: MakeKernel) -> Kernel:
    return make_kernel()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Start a PostgreSQL of our own on a free loopback port; give its address without a database name."""
    programs = _postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL's initdb is not installed")
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if as_user and not _has_user("postgres"):
        pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
    folder = Path("/tmp") / f"everloop-pg-{os.getpid()}-{time.time_ns()}"  # noqa: S108 - a short path for the socket, owned by us
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    port = _free_port()
    data = folder / "data"
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off -c max_connections=200"
    try:
        run = [
            *as_user,
            programs["initdb"],
            "-D",
            str(data),
            "-U",
            "everloop",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-sync",
        ]
        subprocess.run(run, check=True, capture_output=True, cwd=folder)
        start = [
            *as_user,
            programs["pg_ctl"],
            "-D",
            str(data),
            "-o",
            options,
            "-w",
            "-l",
            str(folder / "log"),
            "start",
        ]
        subprocess.run(start, check=True, capture_output=True, cwd=folder)
        yield f"postgresql://everloop@127.0.0.1:{port}"
    finally:
        stop = [*as_user, programs["pg_ctl"], "-D", str(data), "-m", "immediate", "stop"]
        subprocess.run(stop, check=False, capture_output=True, cwd=folder)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def ray_address() -> Iterator[str]:
    """Start a Ray of one small node; give its address. None of its processes outlives the tests."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed: pip install '.[ray]'")
    from tests import clusters

    from everloop.pipelines.executors.ray import disconnect

    # Ray asks for a token and reads where it is once, on import.
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(16)}
    with clusters.head(cpus=2) as address:
        yield address
        disconnect()


@pytest.fixture
def postgres_url(postgres_server: str) -> str:
    """Make an empty database for one test."""
    import psycopg

    name = f"t{time.time_ns()}"
    with psycopg.connect(f"{postgres_server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"{postgres_server}/{name}"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)])
def catalog_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Run the test once on each database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'shared' / 'catalog.db'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def any_kernel(make_kernel: MakeKernel, catalog_url: str) -> Kernel:
    return make_kernel(catalog_url=catalog_url)


def _postgres_programs() -> dict[str, str] | None:
    found = {}
    for program in ("initdb", "pg_ctl"):
        candidates = [
            shutil.which(program),
            *map(str, sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), reverse=True)),
        ]
        path = next((c for c in candidates if c), None)
        if path is None:
            return None
        found[program] = path
    return found


def _has_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
