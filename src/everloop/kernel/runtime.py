"""Assemble the kernel of a home, or the one of a client.

Tests: tests/unit/kernel/test_runtime.py, tests/integration/test_remote.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from everloop.core.clock import Clock, SystemClock
from everloop.kernel.operations.context import Kernel
from everloop.kernel.shared_clock import SharedClock

if TYPE_CHECKING:
    from pathlib import Path

    from everloop.kernel.operations.authority import Authorizer
    from everloop.kernel.operations.context import HasKernel
    from everloop.kernel.operations.statement import Operation
    from everloop.kernel.operations.transport import Transport
    from everloop.kernel.settings import Settings


def open_kernel(
    settings: Settings, *, clock: Clock | None = None, authorizer: Authorizer | None = None
) -> Kernel:
    """Open a home, making it on first use.

    Args:
        settings: where everything is.
        clock: overrides the home's own clock; for tests.
        authorizer: overrides the roles; for the access stage and tests.

    Raises:
        NewerSchemaError, CatalogUnavailableError: as named.
    """
    from everloop.kernel.catalog import Catalog
    from everloop.kernel.events import EventLog
    from everloop.kernel.objects import ObjectStore
    from everloop.kernel.operations.authority import RoleAuthorizer
    from everloop.kernel.operations.calls import run_call

    settings.home.mkdir(parents=True, exist_ok=True)
    kernel = Kernel()
    kernel.settings = settings
    kernel.clock = clock or _home_clock(settings.home)
    kernel.catalog = Catalog(settings.catalog_address, backups=settings.home / "backups")
    kernel.objects = ObjectStore(
        kernel.catalog,
        settings.objects_address,
        cache=settings.home / "cache",
        options=settings.objects_options,
        verify=settings.verify_reads,
        cache_limit=settings.cache_size_bytes,
    )
    kernel.events = EventLog(kernel.catalog, kernel.clock)
    kernel.authorizer = authorizer or RoleAuthorizer()
    kernel.caller = run_call
    return kernel


def _home_clock(home: Path) -> Clock:
    file = home / "clock"
    return SharedClock(file) if file.exists() else SystemClock()


class RemoteKernel(Kernel):
    """The kernel of a client: operations and objects travel over HTTP; there is no catalog and no event log here."""

    def __init__(self, settings: Settings, transport: Transport) -> None:
        from everloop.kernel.operations.remote_objects import RemoteObjects

        self.settings = settings
        self.clock = SystemClock()
        self.transport = transport
        self._fetched = RemoteObjects(transport)
        self.objects = self._fetched
        self.caller = self._call

    @property
    def is_remote(self) -> bool:
        """Return True."""
        return True

    def _call(self, service: HasKernel, operation: Operation, arguments: dict[str, Any]) -> Any:  # noqa: ANN401
        del service
        return self.transport.call(operation, arguments)

    def close(self) -> None:
        """Close the connections and remove the fetched copies of objects."""
        self._fetched.close()
        self.transport.close()
