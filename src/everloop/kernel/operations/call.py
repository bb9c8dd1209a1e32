"""The call in progress: whether it has told what it changed, and its idempotency key. Tests: tests/unit/kernel/test_operations.py."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

import sqlalchemy as sa

from everloop.core.actors import current_actor
from everloop.core.errors import ConflictError
from everloop.kernel.operations.tables import idempotency

if TYPE_CHECKING:
    from everloop.kernel.operations.context import Kernel


class KeyReusedError(ConflictError):
    """An idempotency key came back with other arguments, or its first call has not answered."""

    code = "operations.key-reused"


class Call:
    """One call of an operation.

    Attributes:
        name: the operation's name.
        emits: the event kind it declared.
        key: idempotency key, empty for none.
        request: digest of the arguments.
        has_told: whether its event was appended, or it said that nothing changed.
        is_remembered: whether its key was written.
    """

    def __init__(self, name: str, emits: str, key: str, request: str) -> None:
        self.name = name
        self.emits = emits
        self.key = key
        self.request = request
        self.has_told = False
        self.is_remembered = False


current_call: ContextVar[Call | None] = ContextVar("everloop_call", default=None)


def remember_call(kernel: Kernel, connection: sa.Connection, call: Call) -> None:
    """Write the idempotency key in the transaction of the change, so that both are kept or neither.

    Raises:
        KeyReusedError: another call with this key was faster; the change of this one is undone.
    """
    if not call.key or call.is_remembered:
        return
    values = {
        "key": call.key,
        "actor": current_actor().name,
        "operation": call.name,
        "request": call.request,
        "created_at": kernel.clock.now(),
    }
    known = sa.select(sa.literal(1)).where(
        idempotency.c.key == call.key, idempotency.c.actor == values["actor"]
    )
    try:
        if connection.execute(known).first() is None:
            connection.execute(idempotency.insert().values(values))
            call.is_remembered = True
            return
    except sa.exc.IntegrityError as error:
        raise _in_progress(call.key) from error
    raise _in_progress(call.key)


def _in_progress(key: str) -> KeyReusedError:
    return KeyReusedError(
        f"a request with the idempotency key {key} was applied at the same time. Send it again for its answer.",
        subject=key,
    )
