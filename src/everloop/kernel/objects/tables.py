"""The table of objects: where the bytes of each digest lie.

A row is written after its file. A file is never written twice: every write takes a new name, so that a
collector that removes an old file can never hit what a writer has just written. Many digests travel as one
bound value (a JSON array, or an array of PostgreSQL), so that 20,000 of them are one statement that runs without
Python's lock. Tests: tests/unit/kernel/objects.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from everloop.core.digests import Digest
from everloop.kernel.catalog.schema import Time, metadata

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

stored = sa.Table(
    "object",
    metadata,
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("file", sa.Text, nullable=False),
    sa.Column("pack_offset", sa.BigInteger, nullable=True),
    sa.Column("created_at", Time, nullable=False),
    sa.Index("ix_object_file", "file"),
)

LINKS = "links/"
"""Where the lists of linked objects lie; see links.py. Their bytes are not the store's own."""

# One statement takes about 20 ms for this many, so that other writers get their turn.
_AT_ONCE = 20_000


class Location(NamedTuple):
    """Where the bytes of one object lie; `offset` is None when the file is the object."""

    digest: Digest
    size: int
    file: str
    offset: int | None


def find(connection: sa.Connection, digests: Iterable[Digest]) -> dict[Digest, Location]:
    """Return the locations of those digests that are known."""
    found: dict[Digest, Location] = {}
    for batch in _batches(list(digests)):
        dialect = connection.dialect.name
        asked = msgspec.json.encode(batch).decode() if dialect == "sqlite" else list(batch)
        rows = connection.execute(_finding(dialect), {"digests": asked}).all()
        found.update((row[0], Location(*row)) for row in rows)
    return found


@functools.cache
def _finding(dialect: str) -> sa.Select[Any]:
    columns = sa.select(stored.c.digest, stored.c.size, stored.c.file, stored.c.pack_offset)
    if dialect == "sqlite":
        each = sa.func.json_each(sa.bindparam("digests", type_=sa.Text)).table_valued("value")
        return columns.where(stored.c.digest.in_(sa.select(each.c.value)))
    array = sa.bindparam("digests", type_=postgresql.ARRAY(sa.Text))
    return columns.where(stored.c.digest == sa.any_(sa.cast(array, postgresql.ARRAY(sa.Text))))


def touch(connection: sa.Connection, digests: Iterable[Digest], now: datetime) -> set[Digest]:
    """Start a new grace period for objects; return those that are known."""
    known: set[Digest] = set()
    for batch in _batches(sorted(digests)):
        statement = sa.update(stored).where(_is_among(connection, batch)).values(created_at=now)
        known.update(Digest(row[0]) for row in connection.execute(statement.returning(stored.c.digest)))
    return known


def insert(connection: sa.Connection, locations: Sequence[Location], now: datetime) -> None:
    """Add rows; an object that is known keeps its place and starts a new grace period.

    Only a linked object moves: bytes of the store's own take the place of a link, and a new link that of an old one.
    """
    ordered = sorted(locations, key=lambda place: place.digest)
    for start in range(0, len(ordered), _AT_ONCE):
        batch = ordered[start : start + _AT_ONCE]
        dialect = connection.dialect.name
        rows = _json_row(batch) if dialect == "sqlite" else _array_row(batch)
        connection.execute(_insertion(dialect), {**rows, "at": now})


def move(connection: sa.Connection, old_file: str, locations: Sequence[Location]) -> None:
    """Point rows that still lie in `old_file` to their new place."""
    statement = (
        sa.update(stored)
        .where(stored.c.digest == sa.bindparam("which"), stored.c.file == old_file)
        .values(file=sa.bindparam("to_file"), pack_offset=sa.bindparam("to_offset"))
    )
    rows = [{"which": d, "to_file": file, "to_offset": offset} for d, _, file, offset in locations]
    if rows:
        connection.execute(statement, rows)


def drop(
    connection: sa.Connection, digests: Iterable[Digest], *, untouched_since: datetime | None = None
) -> set[Digest]:
    """Remove rows, only those not touched after `untouched_since` when given; return the removed."""
    gone: set[Digest] = set()
    for batch in _batches(sorted(digests)):
        statement = sa.delete(stored).where(_is_among(connection, batch))
        if untouched_since is not None:
            statement = statement.where(stored.c.created_at <= untouched_since)
        gone.update(Digest(row[0]) for row in connection.execute(statement.returning(stored.c.digest)))
    return gone


def drop_lost(connection: sa.Connection, locations: Iterable[Location]) -> None:
    """Remove rows whose file is gone, unless they have moved meanwhile."""
    for location in locations:
        connection.execute(
            sa.delete(stored).where(stored.c.digest == location.digest, stored.c.file == location.file)
        )


def pages(connection: sa.Connection, *, size: int = 5_000) -> Iterator[list[tuple[Location, datetime]]]:
    """Yield every object with its time, ordered by digest, a page at a time."""
    after = ""
    while True:
        statement = _select().where(stored.c.digest > after).order_by(stored.c.digest).limit(size)
        rows = [(_location(row), row.created_at) for row in connection.execute(statement)]
        if rows:
            yield rows
        if len(rows) < size:
            return
        after = rows[-1][0].digest


def in_file(connection: sa.Connection, file: str) -> list[Location]:
    """Return the objects that lie in a file, in the order of their bytes."""
    rows = connection.execute(_select().where(stored.c.file == file).order_by(stored.c.pack_offset))
    return [_location(row) for row in rows]


def linked(connection: sa.Connection) -> list[Location]:
    """Return the linked objects, list by list."""
    # A range, so that the index answers it on both databases.
    is_link = sa.and_(stored.c.file >= LINKS, stored.c.file < LINKS[:-1] + chr(ord("/") + 1))
    rows = connection.execute(_select().where(is_link).order_by(stored.c.file, stored.c.pack_offset))
    return [_location(row) for row in rows]


@functools.cache
def _insertion(dialect: str) -> sqlite.Insert | postgresql.Insert:
    """Return the statement that inserts a batch; it is made once, because building it costs more than running it."""
    is_sqlite = dialect == "sqlite"
    build = sqlite.insert(stored) if is_sqlite else postgresql.insert(stored)
    rows = _json_rows() if is_sqlite else _array_rows()
    source = rows.add_columns(sa.bindparam("at", type_=Time)).where(sa.true())
    statement = build.from_select(["digest", "size", "file", "pack_offset", "created_at"], source)
    new = statement.excluded
    is_linked = sa.func.substr(stored.c.file, 1, len(LINKS)) == LINKS
    return statement.on_conflict_do_update(
        index_elements=["digest"],
        set_={
            "created_at": new.created_at,
            "file": sa.case((is_linked, new.file), else_=stored.c.file),
            "pack_offset": sa.case((is_linked, new.pack_offset), else_=stored.c.pack_offset),
        },
    )


def _json_row(batch: Sequence[Location]) -> dict[str, Any]:
    return {"batch": msgspec.json.encode(batch).decode()}


def _json_rows() -> sa.Select[Any]:
    each = sa.func.json_each(sa.bindparam("batch", type_=sa.Text)).table_valued("value")
    fields = [sa.func.json_extract(each.c.value, f"$[{place}]") for place in range(4)]
    return sa.select(*fields).select_from(each)


_KINDS = (sa.Text, sa.BigInteger, sa.Text, sa.BigInteger)


def _array_row(batch: Sequence[Location]) -> dict[str, Any]:
    return {f"column_{place}": [row[place] for row in batch] for place in range(len(_KINDS))}


def _array_rows() -> sa.Select[Any]:
    arrays: list[sa.ColumnElement[Any]] = [
        sa.cast(sa.bindparam(f"column_{place}", type_=postgresql.ARRAY(kind)), postgresql.ARRAY(kind))
        for place, kind in enumerate(_KINDS)
    ]
    each = sa.func.unnest(*arrays).table_valued("digest", "size", "file", "pack_offset").render_derived()
    return sa.select(*each.c)


def _is_among(connection: sa.Connection, digests: Sequence[Digest]) -> sa.ColumnElement[bool]:
    if connection.dialect.name == "sqlite":
        each = sa.func.json_each(msgspec.json.encode(digests).decode()).table_valued("value")
        return stored.c.digest.in_(sa.select(each.c.value))
    array = sa.literal(list(digests), postgresql.ARRAY(sa.Text))
    return stored.c.digest == sa.any_(sa.cast(array, postgresql.ARRAY(sa.Text)))


def _select() -> sa.Select[Any]:
    return sa.select(stored.c.digest, stored.c.size, stored.c.file, stored.c.pack_offset, stored.c.created_at)


def _location(row: sa.Row[Any]) -> Location:
    return Location(Digest(row.digest), row.size, row.file, row.pack_offset)


def _batches(digests: list[Digest]) -> Iterator[list[Digest]]:
    for start in range(0, len(digests), _AT_ONCE):
        yield digests[start : start + _AT_ONCE]
