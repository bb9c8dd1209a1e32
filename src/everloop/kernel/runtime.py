"""The kernel as one object: what a stage is given, local or remote.

Tests: tests/unit/kernel/test_runtime.py, tests/integration/test_remote.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from everloop.core.clock import Clock, SystemClock
from everloop.kernel.shared_clock import SharedClock

if TYPE_CHECKING:
    from pathlib import Path

    import sqlalchemy as sa

    from everloop.kernel.catalog import Catalog
    from everloop.kernel.events import EventLog
    from everloop.kernel.objects import Objects
    from everloop.kernel.operations import Operation, Service
    from everloop.kernel.operations.authority import Authorizer
    from everloop.kernel.operations.service import Call
    from everloop.kernel.operations.transport import Transport
    from everloop.kernel.settings import Settings


class Kernel:
    """Catalog, objects, events, clock and settings of one home. Threads may share it; processes open their own.

    Attributes:
        settings: the settings in force.
        clock: the world's clock; simulated when the home has a clock file.
        catalog, objects, events: see their packages.
        authorizer: decides what an actor may do.
    """

    settings: Settings
    clock: Clock
    catalog: Catalog
    objects: Objects
    events: EventLog
    authorizer: Authorizer

    @property
    def home(self) -> Path:
        """Return the folder of the home."""
        return self.settings.home

    @property
    def is_remote(self) -> bool:
        """Return whether operations travel to a server."""
        return False

    def invoke(self, service: Service, operation: Operation, arguments: dict[str, Any]) -> Any:  # noqa: ANN401
        """Run one call of an operation."""
        from everloop.kernel.operations.calls import run_call

        return run_call(self, service, operation, arguments)

    def remember_call(self, connection: sa.Connection, call: Call) -> None:
        """Keep the call's idempotency key with its change."""
        from everloop.kernel.operations.calls import remember_call

        remember_call(self, connection, call)

    def close(self) -> None:
        """Seal the events and close the connections."""
        self.events.close()
        self.catalog.close()


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
        self.objects = RemoteObjects(transport)

    @property
    def is_remote(self) -> bool:
        """Return True."""
        return True

    def invoke(self, service: Service, operation: Operation, arguments: dict[str, Any]) -> Any:  # noqa: ANN401
        """Send the call to the server."""
        del service
        return self.transport.call(operation, arguments)

    def close(self) -> None:
        """Do nothing; connections close with the process."""
