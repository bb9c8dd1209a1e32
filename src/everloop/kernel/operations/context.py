"""The kernel as one object: what a stage is given, local or remote, and how its calls run.

`open_kernel` in runtime.py assembles it. Tests: tests/unit/kernel/test_operations.py, tests/integration/test_remote.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from everloop.core.clock import Clock
    from everloop.kernel.catalog import Catalog
    from everloop.kernel.events import EventLog
    from everloop.kernel.objects import Objects
    from everloop.kernel.operations.authority import Authorizer
    from everloop.kernel.settings import Settings


class Kernel:
    """Catalog, objects, events, clock and settings of one home. Threads may share it; processes open their own.

    Attributes:
        settings: the settings in force.
        clock: the world's clock; simulated when the home has a clock file.
        catalog, objects, events: see their packages.
        authorizer: decides what an actor may do.
        caller: runs a call of an operation, here or on a server.
    """

    settings: Settings
    clock: Clock
    catalog: Catalog
    objects: Objects
    events: EventLog
    authorizer: Authorizer
    caller: Caller

    @property
    def home(self) -> Path:
        """Return the folder of the home."""
        return self.settings.home

    @property
    def is_remote(self) -> bool:
        """Return whether operations travel to a server."""
        return False

    def close(self) -> None:
        """Seal the events and close the connections; closing again changes nothing."""
        if not self.catalog.is_closed:
            self.events.close()
            self.catalog.close()


class HasKernel(Protocol):
    """A service, as far as a call needs to know it."""

    kernel: Kernel


class Caller(Protocol):
    """Runs one call of an operation. Called from any thread.

    `operation` is an `everloop.kernel.operations.Operation`; it is named so loosely because operations stand above the kernel they run on.
    """

    def __call__(self, service: HasKernel, operation: Any, arguments: dict[str, Any]) -> Any:  # noqa: ANN401
        """Return the operation's result, or raise its error."""
        ...
