"""The processes of `everloop up`: API, scheduler and gateway as children of one supervisor, started and stopped together.

A child that ends by itself ends all, with its reason on the terminal: half a product is worse than none. Tests:
tests/integration/test_up.py.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from everloop.core.errors import ConflictError, EverloopError, UnavailableError
from everloop.server.guard import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import FrameType

    from everloop.app import App
    from everloop.kernel.settings import Settings
    from everloop.server.api import Edge

ROLES = ("api", "scheduler", "gateway")
_STOP_WITHIN_S = 10.0
_START_WITHIN_S = 60.0
_log = logging.getLogger(__name__)


class PortInUseError(ConflictError):
    """Another program listens on a port that is needed."""

    code = "server.port-in-use"


class RoleEndedError(UnavailableError):
    """A process of `everloop up` ended by itself."""

    code = "server.role-ended"


class StopRequested(KeyboardInterrupt):
    """A signal asked the process to stop. As with Ctrl-C, no `except Exception` on the way holds it up."""


def check_port(host: str, port: int, setting: str) -> None:
    """Refuse a port that is taken, before anything is started.

    Raises:
        PortInUseError: with the setting to change.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortInUseError(
                f"{host}:{port} is in use or not ours: {error.strerror}. Stop the other program, or choose another port "
                f"(EVERLOOP_{setting.upper()}=..., or {setting} in everloop.toml).",
                subject=f"{host}:{port}",
            ) from error


def token_for(settings: Settings) -> str:
    """Return the token to ask for: none on loopback unless one is set; beyond it the home's own, made on first start."""
    if settings.token:
        return settings.token
    if is_loopback(settings.api_host) and is_loopback(settings.gateway_host):
        return ""
    file = settings.home / "keys" / "token"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(32))
    return file.read_text().strip()


class Supervisor:
    """Starts roles as child processes and stops them together.

    Args:
        settings: of the home all of them share.
        roles: some of `ROLES`.
        quiet: send the children's logs to files in the home instead of the terminal.
        modules: for a role, another module to run, with the home as its argument.
    """

    def __init__(
        self,
        settings: Settings,
        roles: Sequence[str] = ROLES,
        *,
        quiet: bool = False,
        modules: Mapping[str, str] | None = None,
    ) -> None:
        self._settings = settings
        self._roles = roles
        self._quiet = quiet
        self._modules = modules or {}
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start every role and wait until each answers.

        Raises:
            PortInUseError: before anything was started.
            RoleEndedError: a role did not come up; the others were stopped.
        """
        for host, port, setting in self._addresses():
            check_port(host, port, setting)
        try:
            for role in self._roles:
                with _held_signals():  # a child that is started is known, or a signal would leave it behind
                    self._children[role] = self._spawn(role)
            for host, port, _ in self._addresses():
                self._await(host, port)
        except BaseException:
            self.stop()
            raise

    def wait(self) -> None:
        """Return never, but by an exception; to be called inside `stop_by_signal`.

        Raises:
            StopRequested: by SIGTERM or SIGINT.
            RoleEndedError: a role ended by itself.
        """
        while True:
            self._check_children()
            time.sleep(0.2)

    def stop(self) -> None:
        """Stop every child; end what does not stop in ten seconds. A second signal waits until that is done."""
        with _held_signals():
            self._stop()

    def _stop(self) -> None:
        for child in self._children.values():
            with suppress(ProcessLookupError):
                child.terminate()
        deadline = time.monotonic() + _STOP_WITHIN_S
        for child in self._children.values():
            try:
                child.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self._children.clear()

    def _addresses(self) -> Iterator[tuple[str, int, str]]:
        if "api" in self._roles:
            yield self._settings.api_host, self._settings.api_port, "api_port"
        if "gateway" in self._roles:
            yield self._settings.gateway_host, self._settings.gateway_port, "gateway_port"

    def _spawn(self, role: str) -> subprocess.Popen[bytes]:
        home = str(self._settings.home)
        command = [sys.executable, "-m", "everloop", "--home", home, "up", "--role", role]
        if role in self._modules:
            command = [sys.executable, "-m", self._modules[role], home]
        environment = {**os.environ, **_environment(self._settings)}
        environment.pop("EVERLOOP_URL", None)
        if not self._quiet:
            return subprocess.Popen(command, env=environment, start_new_session=True)  # noqa: S603 - our own program
        logs = self._settings.home / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        with (logs / f"{role}.log").open("ab") as file:
            return subprocess.Popen(  # noqa: S603 - our own program
                command, env=environment, start_new_session=True, stdout=file, stderr=file
            )

    def _await(self, host: str, port: int) -> None:
        deadline = time.monotonic() + _START_WITHIN_S
        while time.monotonic() < deadline:
            self._check_children()
            with suppress(OSError), socket.create_connection((host, port), timeout=1):
                return
            time.sleep(0.05)
        raise RoleEndedError(
            f"nothing answers on {host}:{port} after {_START_WITHIN_S:.0f} seconds. Look at the log above."
        )

    def _check_children(self) -> None:
        for role, child in self._children.items():
            if child.poll() is not None:
                where = f" Its log: {self._settings.home / 'logs' / role}.log" if self._quiet else ""
                raise RoleEndedError(
                    f"the {role} ended with status {child.returncode}; everything was stopped.{where}",
                    subject=role,
                )


class stop_by_signal:  # noqa: N801 - a context manager used like a function
    """Turn SIGTERM and SIGINT into `StopRequested` inside the block."""

    def __enter__(self) -> None:
        """Take the signals over."""
        self._before = {
            number: signal.signal(number, self._raise) for number in (signal.SIGTERM, signal.SIGINT)
        }

    def __exit__(self, *_: object) -> None:
        """Give them back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @staticmethod
    def _raise(number: int, frame: FrameType | None) -> None:
        del frame
        raise StopRequested(signal.Signals(number).name)


@contextmanager
def _held_signals() -> Iterator[None]:
    """Let SIGTERM and SIGINT arrive only after the block."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {
        held: signal.signal(held, lambda number, _: came.append(number))
        for held in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        for held, handler in before.items():
            signal.signal(held, handler)
        for number in came[:1]:
            signal.raise_signal(number)


def run_scheduler(settings: Settings) -> None:
    """Run the scheduler until a signal stops it: one pass of everything that acts by itself, then a pause."""
    from everloop.app import App
    from everloop.kernel import open_kernel

    app = App(open_kernel(settings))
    try:
        with stop_by_signal():
            while True:
                _pass(app)
                time.sleep(settings.scheduler_every_s)
    except StopRequested:
        return
    finally:
        app.close()


def _pass(app: App) -> None:
    try:
        app.tick()
        app.pipelines.work(once=True)
    except EverloopError as error:
        # One bad policy or schedule must not stop the others; it is tried again in the next pass.
        _log.warning("a pass of the scheduler failed: %s", error, extra={"code": error.code})
    except Exception:  # noqa: BLE001 - logged below
        # The edge of the process: a fault in one pass must not take the API and the gateway down with it.
        _log.exception("a pass of the scheduler failed")


def run_api(settings: Settings, *, edges: Sequence[Callable[[App], Edge]] = ()) -> None:
    """Run the API until a signal stops it.

    Args:
        settings: of the home.
        edges: make other protocols on the same port.
    """
    import uvicorn

    from everloop.app import App
    from everloop.kernel import open_kernel
    from everloop.server.api import build_api

    app = App(open_kernel(settings))
    try:
        api = build_api(
            app.services,
            token=token_for(settings),
            hosts=[settings.api_host, *settings.allowed_hosts],
            edges=[make(app) for make in edges],
        )
        server = uvicorn.Server(
            uvicorn.Config(
                api,
                host=settings.api_host,
                port=settings.api_port,
                log_level="warning",
                access_log=False,
                timeout_graceful_shutdown=5,
            )
        )
        # uvicorn raises the signal again when it has stopped.
        with stop_by_signal(), suppress(StopRequested):
            server.run()
    finally:
        app.close()


def _environment(settings: Settings) -> Mapping[str, str]:
    """Return the variables that give a child process these very settings."""
    import msgspec

    found = {}
    for name, value in msgspec.to_builtins(settings, enc_hook=str).items():
        if name not in ("home", "url"):
            found[f"EVERLOOP_{name.upper()}"] = (
                value if isinstance(value, str) else msgspec.json.encode(value).decode()
            )
    return found
