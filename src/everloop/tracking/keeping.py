"""Keep what is no number: media at steps, and printed lines. In a connection that the caller opened. Tests: tests/unit/tracking/test_showing.py."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import sqlalchemy as sa

from everloop.core.clock import from_microseconds
from everloop.core.compression import compress, decompress
from everloop.core.digests import parse_digest
from everloop.core.errors import InvalidInputError
from everloop.tracking import queries
from everloop.tracking.records import MediaItem, OutputLine, PrintedLine
from everloop.tracking.tables import run_key, run_media, run_output

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from everloop.kernel.objects import Objects
    from everloop.tracking.records import MediaKind, MediaPoint

# Contents up to this size are kept in the catalog: thousands of them are read at once.
INLINE_BYTES = 4 << 10
# A row of lines is filled up to this many bytes before the next one is begun.
_ROW_BYTES = 64 << 10
MOST_OUTPUT_BYTES = 256 << 20
LONGEST_LINE = 64 << 10
_CUT = "… [the line goes on]"
_FULL = "[the output of this run is longer than what is kept; what follows is left out]"
_MOST_DETAILS = 32


class BadMediaPointError(InvalidInputError):
    """Media arrived that cannot be kept: without content and digest, at no step, or with details that are too many."""

    code = "tracking.bad-media-point"


_encode_lines = msgspec.msgpack.Encoder().encode
_decode_lines = msgspec.msgpack.Decoder(list[PrintedLine]).decode


class Row(NamedTuple):
    """A row of lines."""

    first: int
    lines: int
    data: bytes


def keep_media(objects: Objects, media: Sequence[MediaPoint]) -> list[MediaPoint]:
    """Return media ready for their rows: what is too large for one is put into the object store.

    Raises:
        BadMediaPointError: as named.
    """
    for one in media:
        if not math.isfinite(one.step) or one.index < 0 or len(one.details) > _MOST_DETAILS:
            raise BadMediaPointError(
                f"{one.name} comes at step {one.step}, index {one.index}, with {len(one.details)} details. Give a finite step, an index"
                f" from 0, and at most {_MOST_DETAILS} details.",
                subject=one.name,
            )
        if one.digest is not None:
            parse_digest(one.digest)
    return in_objects(objects, media, above=INLINE_BYTES)


def in_objects(objects: Objects, media: Sequence[MediaPoint], *, above: int) -> list[MediaPoint]:
    """Return media of which those with a content above some bytes name an object instead."""
    large = [one.content for one in media if len(one.content) > above]
    digests = iter(objects.put_many(large) if large else ())
    return [
        msgspec.structs.replace(one, content=b"", digest=next(digests)) if len(one.content) > above else one
        for one in media
    ]


def put_media(connection: sa.Connection, number: int, media: Sequence[MediaPoint]) -> None:
    """Write the rows of media of a locked run; the same name, step and index again replaces."""
    ids = queries.make_keys(connection, "media", (one.name for one in media)) if media else {}
    rows = {
        (one.name, one.step, one.index): {
            "run": number,
            "key_id": ids[one.name],
            "step": one.step,
            "place": one.index,
            "time": one.time,
            "kind": one.kind,
            "media_type": one.media_type[:200],
            "size_bytes": one.size_bytes if one.digest is not None else len(one.content),
            "content": None if one.digest is not None else one.content,
            "digest": one.digest,
            "details": one.details,
        }
        for one in media
    }
    change = ("time", "kind", "media_type", "size_bytes", "content", "digest", "details")
    queries.put_rows(connection, run_media, list(rows.values()), change=change)


def read_media(
    connection: sa.Connection,
    number: int,
    run: str,
    *,
    name: str,
    kind: MediaKind | None,
    after: float | None,
    until: float | None,
    limit: int,
) -> list[MediaItem]:
    """Return media of a run by name, step and index."""
    query = (
        sa.select(run_media, run_key.c.name)
        .join(run_key, run_key.c.id == run_media.c.key_id)
        .where(run_media.c.run == number)
        .order_by(run_key.c.name, run_media.c.step, run_media.c.place)
        .limit(limit)
    )
    if name:
        query = query.where(run_key.c.name == name)
    if kind is not None:
        query = query.where(run_media.c.kind == kind)
    if after is not None:
        query = query.where(run_media.c.step > after)
    if until is not None:
        query = query.where(run_media.c.step <= until)
    return [
        MediaItem(
            run=run,
            name=row.name,
            kind=row.kind,
            step=row.step,
            index=row.place,
            time=from_microseconds(row.time),
            media_type=row.media_type,
            size_bytes=row.size_bytes,
            content=row.content or b"",
            digest=row.digest,
            details=row.details,
        )
        for row in connection.execute(query)
    ]


def put_lines(connection: sa.Connection, number: int, lines: Sequence[PrintedLine]) -> None:
    """Append lines to the output of a locked run; beyond what is kept of one run a last line says so."""
    if not lines:
        return
    last = _last_row(connection, number)
    before = last.before_bytes + last.size_bytes if last is not None else 0
    if last is not None and before > MOST_OUTPUT_BYTES:
        return
    new = [_cut(line) for line in lines]
    # Whatever the texts take as bytes, it is no less: with the mark the output is over the limit and stays so.
    if before + sum(len(line.text) for line in new) > MOST_OUTPUT_BYTES:
        new.append(PrintedLine(new[-1].time, True, _FULL))
    first = last.first + last.lines if last is not None else 0
    if last is not None and last.size_bytes < _ROW_BYTES:
        new = [*_lines_of(last.data), *new]
        first, before = last.first, last.before_bytes
        connection.execute(run_output.delete().where(run_output.c.run == number, run_output.c.first == first))
    rows: list[dict[str, object]] = []
    for start, part in _parts(new):
        content = _encode_lines(part)
        rows.append(
            {
                "run": number,
                "first": first + start,
                "lines": len(part),
                "size_bytes": len(content),
                "before_bytes": before,
                "data": compress(content),
            }
        )
        before += len(content)
    connection.execute(run_output.insert(), rows)


def _last_row(connection: sa.Connection, number: int) -> sa.Row[Any] | None:
    query = sa.select(run_output).where(run_output.c.run == number)
    return connection.execute(query.order_by(run_output.c.first.desc()).limit(1)).first()


def read_rows(connection: sa.Connection, number: int, *, first: int = 0) -> Iterator[Row]:
    """Yield the rows that hold the lines of a run from one on."""
    query = (
        sa.select(run_output.c.first, run_output.c.lines, run_output.c.data)
        .where(run_output.c.run == number, run_output.c.first + run_output.c.lines > first)
        .order_by(run_output.c.first)
    )
    for row in connection.execute(query):
        yield Row(*row)


def count_lines(connection: sa.Connection, number: int) -> int:
    """Return how many lines a run has printed."""
    last = _last_row(connection, number)
    return 0 if last is None else int(last.first + last.lines)


def lines_in(row: Row) -> list[OutputLine]:
    """Return the lines of a row."""
    return [
        OutputLine(
            number=row.first + at,
            time=from_microseconds(line.time),
            stream="stderr" if line.is_error else "stdout",
            text=line.text,
        )
        for at, line in enumerate(_lines_of(row.data))
    ]


def runs_that_printed(connection: sa.Connection) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of a run and some lines of it, for all lines of all runs."""
    query = sa.select(run_output.c.run, run_output.c.data).order_by(run_output.c.run, run_output.c.first)
    for number, data in connection.execute(query.execution_options(yield_per=100)):
        yield int(number), [line.text for line in _lines_of(data)]


def _cut(line: PrintedLine) -> PrintedLine:
    if len(line.text) <= LONGEST_LINE:
        return line
    return PrintedLine(line.time, line.is_error, line.text[:LONGEST_LINE] + _CUT)


def _parts(lines: Sequence[PrintedLine]) -> Iterator[tuple[int, list[PrintedLine]]]:
    """Yield lines in rows of about the size of one, each with its place."""
    start, size = 0, 0
    for at, line in enumerate(lines):
        size += len(line.text) + 16
        if size >= _ROW_BYTES:
            yield start, list(lines[start : at + 1])
            start, size = at + 1, 0
    if start < len(lines):
        yield start, list(lines[start:])


def _lines_of(data: bytes) -> list[PrintedLine]:
    return _decode_lines(decompress(data))
