"""Who may write to a run: a lease by the database's clock, and a fence that each claim raises.

Every write of an engine goes through `guarded`, whose first statement is an UPDATE of the run WHERE its fence is ours: it
renews the lease, locks the row on PostgreSQL, and finds 0 rows when another engine took over. A frozen engine that wakes
up therefore changes nothing. Tests: tests/unit/pipelines/test_leases.py, tests/chaos/test_frozen_worker.py,
tests/chaos/test_claimers.py.
"""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa

from everloop.core.errors import ConflictError
from everloop.pipelines import queries
from everloop.pipelines.tables import pipeline_run, step_attempt, step_run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from everloop.kernel.catalog import Catalog

LEASE_S = 30.0
_Row = sa.Row[tuple[object, ...]]


class LeaseLostError(ConflictError):
    """Another engine took the run over, or it was cancelled; what this one still wanted to write was dropped."""

    code = "pipelines.lease-lost"


class RunIsTakenError(ConflictError):
    """A run cannot be claimed: another engine works on it, or it has ended."""

    code = "pipelines.run-is-taken"


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The right to write to one run until it expires or another claim raises the fence."""

    run: str
    fence: int
    owner: str
    length_s: float = LEASE_S


def this_owner() -> str:
    """Return a name for this process that tells others on this machine whether it lives."""
    return f"{socket.gethostname()}/{os.getpid()}"


def is_dead(owner: str) -> bool:
    """Say whether the process behind an owner's name is known to be gone: only its own machine can know."""
    host, _, process = owner.partition("/")
    if host != socket.gethostname() or not process.isdigit():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def claim(
    catalog: Catalog,
    run_id: str,
    *,
    owner: str,
    length_s: float = LEASE_S,
    also: Sequence[str] = (),
    now: datetime,
) -> Lease:
    """Claim one run: queued, or running under a lease that expired or whose owner is dead.

    Args:
        catalog: where the run is.
        run_id: its id.
        owner: name of the claiming process.
        length_s: of the lease.
        also: further states it may be claimed from: a resume takes `failed` and `cancelled` runs.
        now: the world's time, for `started_at`.

    Raises:
        RunIsTakenError: another engine has it, or it ended.
    """
    with catalog.transaction() as connection:
        row = connection.execute(sa.select(pipeline_run).where(pipeline_run.c.id == run_id)).one()
        clock = catalog.now(connection)
        is_free = row.status in {"queued", *also} or (
            row.status == "running"
            and (row.lease_until is None or row.lease_until < clock or is_dead(row.owner))
        )
        lease = (
            _take(connection, row, owner=owner, length_s=length_s, clock=clock, now=now) if is_free else None
        )
    if lease is None:
        raise RunIsTakenError(
            f"run {run_id} is {row.status}" + (f" in {row.owner} until {row.lease_until}" if row.status == "running" else "")
            + ". A running run can be resumed when its process is gone or its lease expired.",
            subject=f"run:{run_id}",
        )  # fmt: skip
    return lease


def claim_next(catalog: Catalog, *, owner: str, length_s: float = LEASE_S, now: datetime) -> Lease | None:
    """Claim the run of the highest priority, then the oldest, that waits or whose engine is gone; None when there is none.

    A run whose pool has no free slot is passed over.
    """
    table = pipeline_run.c
    with catalog.transaction() as connection:
        clock = catalog.now(connection)
        full = queries.full_pools(connection, clock)
        # A run whose engine is gone holds its slot no longer, so it needs a free one too.
        may = sa.and_(table.bundle.is_not(None), table.pool.not_in(full))
        # Two queries, each along the index: one with OR would sort all that waits for each claim.
        found = [
            _first(connection, sa.and_(table.status == "queued", may)),
            _first(connection, sa.and_(table.status == "running", table.lease_until < clock, may)),
        ]
        rows = sorted((row for row in found if row is not None), key=lambda row: (row.rank, row.id))
        return (
            _take(connection, rows[0], owner=owner, length_s=length_s, clock=clock, now=now) if rows else None
        )


def _first(connection: sa.Connection, where: sa.ColumnElement[bool]) -> _Row | None:
    """Return the run of the highest priority, then the oldest, and lock it where the database can."""
    query = sa.select(pipeline_run).where(where)
    query = query.order_by(pipeline_run.c.rank, pipeline_run.c.id).limit(1)
    if connection.dialect.name == "postgresql":
        query = query.with_for_update(skip_locked=True)
    return connection.execute(query).first()


def _take(
    connection: sa.Connection,
    row: _Row,
    *,
    owner: str,
    length_s: float,
    clock: datetime,
    now: datetime,
) -> Lease | None:
    change = {
        "status": "running",
        "fence": row.fence + 1,
        "owner": owner,
        "lease_until": clock + timedelta(seconds=length_s),
        "started_at": row.started_at or now,
        "ended_at": None,
        "error": "",
    }
    where = sa.and_(
        pipeline_run.c.id == row.id, pipeline_run.c.fence == row.fence, pipeline_run.c.status == row.status
    )
    if connection.execute(pipeline_run.update().where(where).values(change)).rowcount != 1:
        return None
    begin_again(connection, row.id, now)
    return Lease(run=row.id, fence=row.fence + 1, owner=owner, length_s=length_s)


def begin_again(connection: sa.Connection, run_id: str, now: datetime) -> None:
    """Put back every step that has no result, and mark the attempts of a lost engine."""
    lost = sa.and_(step_attempt.c.run_id == run_id, step_attempt.c.status == "running")
    connection.execute(
        step_attempt.update().where(lost).values(status="lost", ended_at=now, error="the process went away")
    )
    open_steps = sa.and_(step_run.c.run_id == run_id, step_run.c.status.not_in(["done", "cached"]))
    connection.execute(step_run.update().where(open_steps).values(status="pending", ended_at=None))


_RENEW = (
    pipeline_run.update()
    .where(
        pipeline_run.c.id == sa.bindparam("at_run"),
        pipeline_run.c.fence == sa.bindparam("at_fence"),
        pipeline_run.c.status == "running",
    )
    .values(lease_until=sa.bindparam("lease_until"))
)


@contextmanager
def guarded(catalog: Catalog, lease: Lease) -> Iterator[sa.Connection]:
    """Open a write transaction that only the holder of the lease can commit.

    Raises:
        LeaseLostError: the fence moved on, or the run is no longer running; nothing was written.
    """
    with catalog.transaction() as connection:
        until = catalog.now(connection) + timedelta(seconds=lease.length_s)
        values = {"at_run": lease.run, "at_fence": lease.fence, "lease_until": until}
        if connection.execute(_RENEW, values).rowcount != 1:
            raise _lost(lease)
        yield connection


_HELD = sa.select(pipeline_run.c.id).where(
    pipeline_run.c.id == sa.bindparam("at_run"),
    pipeline_run.c.fence == sa.bindparam("at_fence"),
    pipeline_run.c.status == "running",
)


def require_held(catalog: Catalog, lease: Lease) -> None:
    """Look, without writing, whether a run is still ours: so that a cancelled one ends its steps at once.

    Raises:
        LeaseLostError: it was cancelled or taken over.
    """
    with catalog.read() as connection:
        row = connection.execute(_HELD, {"at_run": lease.run, "at_fence": lease.fence}).first()
    if row is None:
        raise _lost(lease)


def _lost(lease: Lease) -> LeaseLostError:
    return LeaseLostError(
        f"run {lease.run} is no longer ours to write: it was cancelled, or another engine took it over.",
        subject=f"run:{lease.run}",
    )
