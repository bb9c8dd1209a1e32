"""The class a stage's verbs live in. Tests: tests/unit/kernel/test_operations.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from everloop.kernel.operations.call import current_call, remember_call

if TYPE_CHECKING:
    import sqlalchemy as sa

    from everloop.kernel.operations.context import Kernel


class Service:
    """The verbs of one stage.

    Methods marked `@operation` run where the home is: here, or over HTTP when the kernel is a remote one. Unmarked public
    methods are the client's half: they run in the caller's process in both cases and use only `kernel.objects`,
    `kernel.clock` and operations.

    Attributes:
        stage: name of the stage, as in `app.<stage>`.
    """

    stage: ClassVar[str]

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel

    def emit(
        self, connection: sa.Connection, *, subject: str, payload: object | None = None, kind: str = ""
    ) -> str:
        """Append the event of the call in progress, in the transaction of its change; return the event's id.

        Args:
            connection: the open write transaction.
            subject: what changed, `model:delays@v7`.
            payload: plain values or a struct.
            kind: another kind than the declared one, for a verb that can end in several ways.
        """
        call = current_call.get()
        declared = call.emits if call else ""
        event = self.kernel.events.append(connection, kind=kind or declared, subject=subject, payload=payload)
        if call is not None:
            call.has_told = True
            remember_call(self.kernel, connection, call)
        return event

    def unchanged(self) -> None:
        """Say that the call in progress had nothing to change, so that no event is owed."""
        call = current_call.get()
        if call is not None:
            call.has_told = True
