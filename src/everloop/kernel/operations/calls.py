"""Run one call where the home is: permission, validation, idempotency, and the proof that a change told its event.

Tests: tests/unit/kernel/test_operations.py.
"""

from __future__ import annotations

import datetime as dt
from contextlib import contextmanager
from contextvars import ContextVar
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from everloop.core.actors import current_actor
from everloop.core.digests import digest_value
from everloop.core.errors import EverloopError, InvalidInputError, PermissionDeniedError
from everloop.kernel.operations.call import Call, KeyReusedError, current_call
from everloop.kernel.operations.tables import idempotency

if TYPE_CHECKING:
    from collections.abc import Iterator

    from everloop.kernel.operations.authority import Authorizer
    from everloop.kernel.operations.context import HasKernel, Kernel
    from everloop.kernel.operations.statement import Operation

_key: ContextVar[str] = ContextVar("everloop_idempotency_key", default="")
# What msgspec.convert takes as it is; everything else is first brought to plain JSON values.
_KEPT = (bytes, dt.datetime, dt.date, dt.timedelta, Decimal, UUID)
_PLAIN = (str, int, float, bool, type(None))


class InvalidArgumentError(InvalidInputError):
    """An argument of an operation has the wrong type or is missing."""

    code = "operations.invalid-argument"


class UntoldChangeError(EverloopError):
    """A writing verb ended without its event: a fault of Everloop, and nothing a caller can mend."""

    code = "operations.untold-change"
    status = 500


@contextmanager
def idempotent(key: str) -> Iterator[None]:
    """Let the calls of the block be repeated safely: a second call with the same key returns the first one's result."""
    token = _key.set(key)
    try:
        yield
    finally:
        _key.reset(token)


def run_call(service: HasKernel, operation: Operation, arguments: dict[str, Any]) -> Any:  # noqa: ANN401
    """Run a call in this process; see the head of the file.

    Raises:
        PermissionDeniedError: the actor's roles do not give the permission.
        InvalidArgumentError: an argument has the wrong type.
        KeyReusedError: see there.
    """
    kernel = service.kernel
    authorize(kernel.authorizer, operation.needs)
    values = validate(operation, arguments)
    # The key belongs to the call from outside; verbs that it calls in turn are parts of it.
    key = _key.get() if operation.is_write and current_call.get() is None else ""
    request = digest_value([operation.method, operation.path, arguments]) if key else ""
    if key and (answer := _recall(kernel, key, request)) is not None:
        return msgspec.json.decode(answer, type=operation.hints["return"])
    call = Call(operation.name, operation.emits, key, request)
    token = current_call.set(call)
    try:
        result = operation.function(service, **values)
    finally:
        current_call.reset(token)
    if operation.emits and not call.has_told:
        raise UntoldChangeError(
            f"{operation.name} changed state without the event {operation.emits}. Please report this."
        )
    if key:
        _keep_answer(kernel, key, result)
    return result


def authorize(authorizer: Authorizer, permission: str) -> None:
    """Refuse what the present actor may not do."""
    actor = current_actor()
    if not authorizer.allows(actor, permission):
        roles = ", ".join(sorted(actor.roles)) or "none"
        raise PermissionDeniedError(
            f"{actor.name} may not do this: it needs the permission {permission}, and the roles held ({roles}) do not give it. "
            "Ask an administrator for a role that does.",
            subject=actor.name,
            details={"permission": permission},
        )


def validate(operation: Operation, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments in their declared types.

    Raises:
        InvalidArgumentError: with the JSON path of the first wrong value.
    """
    return {name: _convert(operation, name, value) for name, value in arguments.items()}


def _convert(operation: Operation, name: str, value: object) -> object:
    kind = operation.hints[name]
    if kind in _PLAIN and type(value) is kind:
        return value
    try:
        # JSON has text keys only: over HTTP the weights of versions 1 and 2 come as {"1": ..., "2": ...}.
        return msgspec.convert(msgspec.to_builtins(value, builtin_types=_KEPT), kind, str_keys=True)
    except (msgspec.ValidationError, TypeError, ValueError) as error:
        reason, _, path = str(error).partition(" - at `$")
        where = f"$.{name}{path.rstrip('`')}"
        raise InvalidArgumentError(f"{operation.name}: {reason} at {where}.", path=where) from error


def _recall(kernel: Kernel, key: str, request: str) -> str | None:
    """Return the JSON text of the first call's answer; None when there was none."""
    query = sa.select(idempotency).where(
        idempotency.c.key == key, idempotency.c.actor == current_actor().name
    )
    with kernel.catalog.read() as connection:
        row = connection.execute(query).first()
    if row is None:
        return None
    if row.request != request:
        raise KeyReusedError(
            f"the idempotency key {key} was used for another request. Use a new key for each request.",
            subject=key,
        )
    if row.response is None:
        raise KeyReusedError(
            f"the request with the idempotency key {key} was applied, but its answer was lost. Read the object to see its state.",
            subject=key,
        )
    return str(row.response)


def _keep_answer(kernel: Kernel, key: str, result: object) -> None:
    response = msgspec.json.encode(result).decode()
    where = sa.and_(idempotency.c.key == key, idempotency.c.actor == current_actor().name)
    with kernel.catalog.transaction() as connection:
        connection.execute(idempotency.update().where(where).values(response=response))
