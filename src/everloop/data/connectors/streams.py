"""Cutting an endless stream of batches into versions to append, by count or by time.

Pure apart from the batches and the clock that are passed in.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from everloop.data.connectors.errors import ClockWentBackError, UnknownOptionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa

    from everloop.core.clock import Clock


def stream_versions(
    batches: Iterable[pa.Table],
    *,
    every_rows: int | None = None,
    every_s: float | None = None,
    clock: Clock,
) -> Iterator[list[pa.Table]]:
    """Yield groups of batches, each to be committed as one version; every row is in one group, in order.

    A group is closed once it has `every_rows` rows (exactly; a batch is cut when it is larger), or when a batch
    arrives and the first one of the group is `every_s` seconds old; that batch is then of the group. What is left
    when the stream ends is the last group. A group without rows is not yielded.

    Args:
        batches: of rows; waited for one after the other. While none arrives, nothing is yielded.
        every_rows: rows of a version.
        every_s: seconds from the first batch of a version to its end.
        clock: tells when a batch arrived.

    Raises:
        UnknownOptionError: neither count nor time is given, or one is not above 0.
        ClockWentBackError: the clock told an earlier time than before; groups yielded so far stand.
    """
    if every_rows is None and every_s is None:
        raise UnknownOptionError(
            "a stream never ends by itself. Say how much is one version: every_rows= or every_s=."
        )
    if (every_rows is not None and every_rows <= 0) or (every_s is not None and every_s <= 0):
        raise UnknownOptionError(f"every_rows={every_rows}, every_s={every_s}: give a number above 0.")
    return _groups(batches, every_rows, None if every_s is None else timedelta(seconds=every_s), clock)


def _groups(
    batches: Iterable[pa.Table], every_rows: int | None, every: timedelta | None, clock: Clock
) -> Iterator[list[pa.Table]]:
    group: list[pa.Table] = []
    began = last = clock.now()
    for batch in batches:
        last = _advanced(last, clock.now())
        for piece, closes in _cut(batch, every_rows, sum(table.num_rows for table in group)):
            began = began if group else last
            group.append(piece)
            if closes:
                yield group
                group = []
        if group and every is not None and last - began >= every:
            yield group
            group = []
    if group:
        yield group


def _cut(batch: pa.Table, every_rows: int | None, before: int) -> Iterator[tuple[pa.Table, bool]]:
    """Yield the pieces of a batch, and whether each fills its group, which has `before` rows already."""
    while batch.num_rows:
        room = batch.num_rows if every_rows is None else every_rows - before
        piece, batch = batch.slice(0, room), batch.slice(room)
        yield piece, every_rows is not None and piece.num_rows == room
        before = 0


def _advanced(last: datetime, now: datetime) -> datetime:
    if now < last:
        raise ClockWentBackError(
            f"the clock went back from {last.isoformat()} to {now.isoformat()}; the time of a version would be wrong. "
            "Set the clock right and read the stream again from the last version.",
            details={"before": last.isoformat(), "now": now.isoformat()},
        )
    return now
