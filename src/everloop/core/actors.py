"""Who acts: the person or process in whose name an operation runs.

The actor travels with the call, never as an argument: the server sets it from the token, embedded use takes the user of
the operating system. Tests: tests/unit/core/test_actors.py.
"""

from __future__ import annotations

import getpass
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """One who acts.

    Attributes:
        name: `user:ada`, `token:ci`, `system:loop`.
        roles: names of roles; `admin` may do everything.
    """

    name: str
    roles: frozenset[str] = frozenset()


@cache
def local_actor() -> Actor:
    """Return the user of the operating system, who owns an embedded home and so may do everything in it."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container may run without a user entry
        name = "unknown"
    return Actor(name=f"user:{name}", roles=frozenset({"admin"}))


_current: ContextVar[Actor | None] = ContextVar("everloop_actor", default=None)


def current_actor() -> Actor:
    """Return the actor of this call."""
    return _current.get() or local_actor()


@contextmanager
def acting_as(actor: Actor) -> Iterator[None]:
    """Run the block in the name of `actor`."""
    token = _current.set(actor)
    try:
        yield
    finally:
        _current.reset(token)
