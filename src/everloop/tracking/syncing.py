"""Send what processes left behind in spools, each entry once. Tests: tests/unit/tracking/test_syncing.py, tests/chaos/test_kill_logging.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from everloop.core.errors import EverloopError, NotFoundError, UnavailableError
from everloop.tracking.delivery import Delivery
from everloop.tracking.spool import Batch, End, Start, discard, read, spools

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from everloop.tracking.service import Tracking


class Synced(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one spool.

    Attributes:
        run: whose values it held.
        entries, points: how many were sent; those that the home had before are not counted.
        status: `sent`; `open` when the run has no end yet, so that the spool stays; `refused` or `away` with the reason in `error`.
    """

    run: str
    spool: str
    entries: int = 0
    points: int = 0
    status: str = "sent"
    error: str = ""


def sync(
    tracking: Tracking, folder: Path, *, closed: bool = False, told: Callable[[Synced], None] | None = None
) -> list[Synced]:
    """Send the spools below a folder; those of runs still going on are sent as far as they are and stay.

    Args:
        tracking: of the home to send to.
        folder: of spools.
        closed: remove spools without an end too: their processes are known to be gone.
        told: called with each result.
    """
    found = []
    for path in spools(folder):
        result = _sync_one(tracking, path, closed=closed)
        found.append(result)
        if told is not None:
            told(result)
    return found


def _sync_one(tracking: Tracking, path: Path, *, closed: bool) -> Synced:
    run, writer = path.parent.name, path.stem
    delivery = Delivery(tracking, tracking.kernel.objects, run=run, writer=writer, folder=path.parent)
    entries = points = 0
    has_end = False
    try:
        last = _last_batch(tracking, run, writer)
        for entry in read(path):
            if isinstance(entry, Start) and last is not None:
                continue
            if isinstance(entry, Batch) and last is not None and entry.sequence <= last:
                continue
            delivery.deliver(entry)
            entries += 1
            points += entry.points if isinstance(entry, Batch) else 0
            has_end |= isinstance(entry, End)
    except UnavailableError as error:
        return Synced(
            run=run, spool=str(path), entries=entries, points=points, status="away", error=str(error)
        )
    except EverloopError as error:
        return Synced(
            run=run, spool=str(path), entries=entries, points=points, status="refused", error=str(error)
        )
    if has_end or closed:
        discard(path)
    return Synced(
        run=run,
        spool=str(path),
        entries=entries,
        points=points,
        status="sent" if has_end or closed else "open",
    )


def _last_batch(tracking: Tracking, run: str, writer: str) -> int | None:
    """Return the last batch that the home has; None when it does not have the run."""
    try:
        return tracking.last_batch(run, writer)
    except NotFoundError:
        return None
