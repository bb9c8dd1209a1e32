"""The decorator that states a verb once, and what can be read off it.

The HTTP server, the remote transport, OpenAPI and the check of the route table are all derived from `Operation`. Types are
resolved on first use, so a stage can be imported without its records being complete. Tests: tests/unit/kernel/test_operations.py.
"""

from __future__ import annotations

import functools
import inspect
import re
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, get_type_hints

if TYPE_CHECKING:
    from collections.abc import Callable

    from everloop.kernel.operations.context import HasKernel

P = ParamSpec("P")
R = TypeVar("R")

_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
_PATH_NAME = re.compile(r"{(\w+)}")
_MARK = "__everloop_operation__"


class IncompleteOperationError(TypeError):
    """A verb was stated without a permission, a known method, or a matching route; the program does not start."""


class Operation:
    """One verb: what it needs, where it answers, what it emits.

    Attributes:
        name: the method's name.
        method, path: of the HTTP route below `/api/v1`.
        needs: the permission asked of the actor.
        emits: kind of the event a call appends; empty for a reading verb.
        cli: the command, `model alias`; empty when `cli_reason` says why there is none.
    """

    def __init__(
        self, function: Callable[..., Any], route: str, *, needs: str, emits: str, cli: str, cli_reason: str
    ) -> None:
        self.function = function
        self.name = function.__name__
        self.method, _, self.path = route.partition(" ")
        self.needs = needs
        self.emits = emits
        self.cli = cli
        self.cli_reason = cli_reason
        self.signature = inspect.signature(function)
        self.path_names = frozenset(_PATH_NAME.findall(self.path))
        self._check()

    def _check(self) -> None:
        where = f"{self.function.__module__}.{self.function.__qualname__}"
        if not self.needs:
            raise IncompleteOperationError(f"{where} names no permission (needs=...)")
        if self.method not in _METHODS or not self.path.startswith("/"):
            raise IncompleteOperationError(f"{where} has no route like 'GET /models/{{model}}'")
        unknown = self.path_names - set(self.signature.parameters)
        if unknown:
            raise IncompleteOperationError(
                f"{where}: the route names {sorted(unknown)}, which are no parameters"
            )
        if bool(self.cli) == bool(self.cli_reason):
            raise IncompleteOperationError(
                f"{where} names a command (cli=...) or the reason why there is none (cli_reason=...)"
            )
        if self.is_write != bool(self.emits):
            raise IncompleteOperationError(
                f"{where}: a verb that writes names its event, one that reads (GET) has none"
            )

    @property
    def is_write(self) -> bool:
        """Return whether a call may change state."""
        return self.method != "GET"

    @property
    def takes_body(self) -> bool:
        """Return whether parameters beyond the path travel as a JSON body."""
        return self.method in ("POST", "PUT", "PATCH")

    @functools.cached_property
    def hints(self) -> dict[str, Any]:
        """Return the resolved types of the parameters and, under `return`, of the result."""
        return get_type_hints(self.function, include_extras=True)

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """Return the parameters without `self`."""
        return {name: p for name, p in self.signature.parameters.items() if name != "self"}

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of a call by name, without those left at their default."""
        bound = self.signature.bind(None, *args, **kwargs)
        return {name: value for name, value in bound.arguments.items() if name != "self"}


def operation(
    route: str, *, needs: str, emits: str = "", cli: str | None = "", cli_reason: str = ""
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """State a method of a `Service` as a verb of the product.

    Args:
        route: HTTP method and path; `{name}` takes a parameter of that name.
        needs: permission, `stage.verb`; a verb without one does not load.
        emits: kind of the event each call that changes something appends.
        cli: the command for it.
        cli_reason: why it has no command.

    Raises:
        IncompleteOperationError: at import, when the statement is not whole.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        stated = Operation(function, route, needs=needs, emits=emits, cli=cli or "", cli_reason=cli_reason)

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            service: HasKernel = args[0]  # type: ignore[assignment]  # a method's first argument
            return service.kernel.caller(service, stated, stated.bind(args[1:], kwargs))  # type: ignore[no-any-return]

        setattr(call, _MARK, stated)
        return call

    return decorate


def operations_of(service: type) -> list[Operation]:
    """Return the verbs of a service in the order of their definition."""
    found = []
    for cls in reversed(service.__mro__):
        found += [getattr(member, _MARK) for member in vars(cls).values() if hasattr(member, _MARK)]
    return found
