"""Read and move cycles in the catalog, guarded so that two schedulers never act on the same state.

Tests: tests/unit/loop/test_store.py.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa

from everloop.core.errors import ConflictError, NotFoundError
from everloop.core.ids import new_id
from everloop.loop.records import ActivePolicy, Cycle, Policy
from everloop.loop.tables import cycle, policy
from everloop.pipelines.leases import is_dead, this_owner

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from everloop.kernel.catalog import Catalog

# A claim outlives a busy process by this much; its heartbeat renews it three times as often.
_CLAIM = timedelta(seconds=30)


class PolicyNotFoundError(NotFoundError):
    """The model has no policy."""

    code = "loop.policy-not-found"


class CycleNotFoundError(NotFoundError):
    """The model has no such cycle."""

    code = "loop.cycle-not-found"


class CycleOpenError(ConflictError):
    """The model has an open cycle; there is one at a time."""

    code = "loop.cycle-open"


class CycleMovedError(ConflictError):
    """Another process moved the cycle first; nothing was changed."""

    code = "loop.cycle-moved"


def active_policies(connection: sa.Connection) -> list[ActivePolicy]:
    """Return the policies in force, by model."""
    query = sa.select(policy).where(policy.c.is_active).order_by(policy.c.model)
    return [
        ActivePolicy(policy=row.policy, digest=row.digest, started_at=row.started_at, is_paused=row.is_paused)
        for row in connection.execute(query)
    ]


def policy_by_digest(connection: sa.Connection, digest: str) -> Policy:
    """Return a policy as it was when a cycle began."""
    found: Policy | None = connection.execute(
        sa.select(policy.c.policy).where(policy.c.digest == digest)
    ).scalar()
    if found is None:
        raise PolicyNotFoundError(f"there is no policy {digest}.", subject=digest)
    return found


def put_policy(connection: sa.Connection, given: Policy, now: datetime) -> bool:
    """Make a policy the one in force; return whether that changed anything."""
    rows = connection.execute(sa.select(policy).where(policy.c.model == given.model)).all()
    if any(row.is_active and row.digest == given.digest for row in rows):
        return False
    connection.execute(policy.update().where(policy.c.model == given.model).values(is_active=False))
    if any(row.digest == given.digest for row in rows):
        connection.execute(
            policy.update().where(policy.c.digest == given.digest).values(is_active=True, is_paused=False)
        )
    else:
        values = {"model": given.model, "digest": given.digest, "policy": given, "started_at": now}
        connection.execute(policy.insert().values(**values, is_active=True, is_paused=False))
    return True


def pause(connection: sa.Connection, model: str, *, is_paused: bool) -> None:
    """Hold or release a policy.

    Raises:
        PolicyNotFoundError: the model has none.
    """
    statement = policy.update().where(policy.c.model == model, policy.c.is_active).values(is_paused=is_paused)
    if connection.execute(statement).rowcount == 0:
        raise PolicyNotFoundError(
            f"the model {model} has no policy. `everloop loop ls` lists them.", subject=f"model:{model}"
        )


def list_cycles(connection: sa.Connection, model: str, *, limit: int, before: int) -> list[Cycle]:
    """Return cycles of a model, newest first, below the number `before` when given."""
    query = (
        sa.select(cycle.c.cycle).where(cycle.c.model == model).order_by(cycle.c.number.desc()).limit(limit)
    )
    if before:
        query = query.where(cycle.c.number < before)
    return list(connection.execute(query).scalars())


def find_cycle(connection: sa.Connection, reference: str) -> Cycle:
    """Return a cycle by its id, or by `delays/3`.

    Raises:
        CycleNotFoundError: there is none.
    """
    model, _, number = reference.partition("/")
    condition = (
        sa.and_(cycle.c.model == model, cycle.c.number == int(number))
        if number.isdecimal()
        else cycle.c.id == reference
    )
    found: Cycle | None = connection.execute(sa.select(cycle.c.cycle).where(condition)).scalar()
    if found is None:
        raise CycleNotFoundError(
            f"there is no cycle {reference}. `everloop loop cycles MODEL` lists them.",
            subject=f"cycle:{reference}",
        )
    return found


def open_cycle(connection: sa.Connection, model: str) -> Cycle | None:
    """Return the open cycle of a model."""
    found: Cycle | None = connection.execute(
        sa.select(cycle.c.cycle).where(cycle.c.single_flight == model)
    ).scalar()
    return found


def insert_cycle(connection: sa.Connection, made: Cycle) -> None:
    """Add an open cycle.

    Raises:
        CycleOpenError: the model has one.
    """
    if open_cycle(connection, made.model) is not None:
        raise _is_open(made.model)
    values = {
        "id": made.id,
        "model": made.model,
        "number": made.number,
        "state": made.state,
        "began_at": made.began_at,
        "single_flight": made.model,
        "fence": len(made.history),
        "claimed_by": "",
        "cycle": made,
    }
    try:
        connection.execute(cycle.insert().values(values))
    except sa.exc.IntegrityError as error:  # another process began one since
        raise _is_open(made.model) from error


def _is_open(model: str) -> CycleOpenError:
    return CycleOpenError(
        f"the model {model} has an open cycle; wait for its verdict.", subject=f"model:{model}"
    )


def move_cycle(connection: sa.Connection, before: Cycle, after: Cycle) -> None:
    """Replace a cycle's state by the next.

    Raises:
        CycleMovedError: it is no longer in the state `before`.
    """
    guard = sa.and_(cycle.c.id == before.id, cycle.c.fence == len(before.history))
    values = {
        "state": after.state,
        "cycle": after,
        "fence": len(after.history),
        "single_flight": after.id if after.is_ended else after.model,
    }
    if connection.execute(cycle.update().where(guard).values(values)).rowcount != 1:
        raise CycleMovedError(
            f"cycle {before.model}/{before.number} was moved by another process.",
            subject=f"cycle:{before.id}",
        )


def next_number(connection: sa.Connection, model: str) -> int:
    """Return the number of the model's next cycle."""
    last = connection.execute(sa.select(sa.func.max(cycle.c.number)).where(cycle.c.model == model)).scalar()
    return int(last or 0) + 1


def begun_since(connection: sa.Connection, model: str, moment: datetime) -> int:
    """Return how many cycles of a model began after a moment."""
    query = (
        sa.select(sa.func.count()).select_from(cycle).where(cycle.c.model == model, cycle.c.began_at > moment)
    )
    return int(connection.execute(query).scalar_one())


@contextmanager
def claimed(catalog: Catalog, open_: Cycle) -> Iterator[bool]:
    """Claim a cycle for the block, by the database's clock; False when another process works on it.

    The claim only spares double work: what makes a move safe is the fence in `move_cycle`.
    """
    owner = f"{this_owner()}#{new_id()}"
    if not _claim(catalog, open_.id, owner):
        yield False
        return
    stop = threading.Event()
    heart = threading.Thread(target=_beat, args=(catalog, open_.id, owner, stop), daemon=True)
    heart.start()
    try:
        yield True
    finally:
        stop.set()
        heart.join()
        with catalog.transaction() as connection:
            mine = sa.and_(cycle.c.id == open_.id, cycle.c.claimed_by == owner)
            connection.execute(cycle.update().where(mine).values(claimed_by="", claimed_until=None))


def _claim(catalog: Catalog, identity: str, owner: str) -> bool:
    with catalog.transaction() as connection:
        now = catalog.now(connection)
        holder = (
            connection.execute(sa.select(cycle.c.claimed_by).where(cycle.c.id == identity)).scalar() or ""
        )
        gone = holder if is_dead(holder.partition("#")[0]) else ""
        free = sa.or_(cycle.c.claimed_by.in_(("", owner, gone)), cycle.c.claimed_until < now)
        statement = cycle.update().where(cycle.c.id == identity, free)
        return (
            connection.execute(statement.values(claimed_by=owner, claimed_until=now + _CLAIM)).rowcount == 1
        )


def _beat(catalog: Catalog, identity: str, owner: str, stop: threading.Event) -> None:
    while not stop.wait(_CLAIM.total_seconds() / 3):
        _claim(catalog, identity, owner)
