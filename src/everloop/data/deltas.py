"""Edits of a stored table: rows are marked as deleted, others are added as parts; no part is written again.

A place is the number of a row over all parts of a table, deleted ones included. Tests: tests/unit/data/test_deltas.py,
tests/property/test_dataset_versions.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pyarrow as pa

from everloop.core.digests import Digest, digest_value
from everloop.data import rules
from everloop.data.difference import Difference, Located, difference, surplus
from everloop.data.engine import connect, quote, scan_of
from everloop.data.parts import Piece, encode_deletions, hash_piece, open_piece, read_groups, store_rows
from everloop.data.records import Tally
from everloop.data.rows import RowHashes, content_digest, hash_rows, tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy.typing as npt

    from everloop.data.parts import PartWriter
    from everloop.data.records import Part, TableReference
    from everloop.kernel.objects import Objects

    Places = npt.NDArray[np.int64]

PLACE = "everloop_place"


def edit(
    before: TableReference,
    objects: Objects,
    *,
    removed: Places,
    removed_tally: Tally,
    added: Iterable[pa.Table] = (),
) -> TableReference:
    """Return a table without the rows at some places and with others after its last row.

    Args:
        before: the table.
        objects: where its parts are, and where the new ones go.
        removed: places of live rows, ascending.
        removed_tally: what those rows amount to.
        added: rows in the table's columns and types.
    """
    fresh = [table for table in added if table.num_rows]
    kept = _without(before.parts, removed, objects)
    new = store_rows(fresh, objects) if fresh else None
    counted = before.tally - removed_tally + (new.tally if new else Tally())
    parts = [*kept, *(new.parts if new else [])]
    order = ["edit/1", before.order, [part.key for part in kept], new.order if new else ""]
    return msgspec.structs.replace(
        before,
        name="",
        digest=content_digest(before.columns, counted),
        order=digest_value(order),
        tally=counted,
        # The last part stays, even without rows, because it holds the columns.
        parts=[part for part in parts if part.live] or parts[:1],
    )


def appended_order(before: str, new: str) -> Digest:
    """Return the order of a table and the rows appended to it."""
    return digest_value(["append/1", before, new])


def rewrite(before: TableReference, staged: PartWriter, objects: Objects) -> TableReference | None:
    """Return the table that was staged, stored as an edit of `before`; None when storing it whole is better."""
    if staged.columns != before.columns or not before.rows:
        return None
    pieces = [open_piece(part, objects) for part in before.parts]
    found = difference(stored_rows(pieces), _staged_rows(staged), rows=before.rows + staged.tally.rows)
    if before.tally - found.removed_tally + found.added_tally != staged.tally:
        return (
            None  # two rows with one first lane: not in this world's lifetime, but then the whole is stored
        )
    if not rules.is_delta_better(
        rows=staged.tally.rows,
        added=len(found.added),
        removed=len(found.removed),
        held=sum(part.rows for part in before.parts),
        dead=sum(part.deleted for part in before.parts),
    ):
        return None
    added = rows_at(staged.pieces(), found.added)
    return edit(before, objects, removed=found.removed, removed_tally=found.removed_tally, added=added)


def upsert(before: TableReference, rows: pa.Table, keys: Sequence[str], objects: Objects) -> TableReference:
    """Return the table in which `rows` stand in place of those with the same keys; equal rows stay where they are."""
    pieces = [open_piece(part, objects) for part in before.parts]
    places = places_of(
        pieces, "SEMI JOIN incoming USING (" + ", ".join(map(quote, keys)) + ")", incoming=rows
    )
    old, new = hashes_at(pieces, places), hash_rows(rows)
    is_removed, is_added = surplus(old, new)
    return edit(
        before,
        objects,
        removed=places[is_removed],
        removed_tally=tally(old.take(is_removed)),
        added=[rows.filter(pa.array(is_added))],
    )


def upsert_staged(
    before: TableReference, staged: PartWriter, keys: Sequence[str], objects: Objects
) -> TableReference:
    """Return what `upsert` does, of rows that are too many for the memory."""
    pieces = [open_piece(part, objects) for part in before.parts]
    clause = "SEMI JOIN incoming USING (" + ", ".join(map(quote, keys)) + ")"
    places = places_of(pieces, clause, incoming=staged.pieces())
    found = difference(_rows_at(pieces, places), _staged_rows(staged), rows=len(places) + staged.tally.rows)
    added = rows_at(staged.pieces(), found.added)
    return edit(before, objects, removed=found.removed, removed_tally=found.removed_tally, added=added)


def remove(before: TableReference, clause: str, objects: Objects, **tables: pa.Table) -> TableReference:
    """Return the table without the rows that a clause after FROM selects, `WHERE "delay" IS NULL`."""
    pieces = [open_piece(part, objects) for part in before.parts]
    places = places_of(pieces, clause, **tables)
    return edit(before, objects, removed=places, removed_tally=tally(hashes_at(pieces, places)))


def compact(before: TableReference, objects: Objects) -> TableReference:
    """Return the same table in fresh parts: the content and the order of its rows stay."""
    pieces = [open_piece(part, objects) for part in before.parts]
    fresh = store_rows((rows for piece in pieces for _, rows in read_groups(piece)), objects)
    return msgspec.structs.replace(before, parts=fresh.parts)


def settle(content: TableReference, objects: Objects) -> TableReference:
    """Return the same table as it is best kept: written anew when much of it is dead, with small parts made one."""
    held, dead = sum(part.rows for part in content.parts), sum(part.deleted for part in content.parts)
    if rules.needs_compaction(held=held, dead=dead):
        return compact(content, objects)
    return merge_small_parts(content, objects)


def merge_small_parts(before: TableReference, objects: Objects) -> TableReference:
    """Return the same table with the trailing run of small parts, when it is long, made one part."""
    count = rules.parts_to_merge([part.rows for part in before.parts])
    if not count:
        return before
    tail = [open_piece(part, objects) for part in before.parts[-count:]]
    fresh = store_rows((rows for piece in tail for _, rows in read_groups(piece)), objects)
    return msgspec.structs.replace(before, parts=[*before.parts[:-count], *fresh.parts])


def places_of(pieces: Sequence[Piece], clause: str, **tables: pa.Table | list[Piece]) -> Places:
    """Return the places, ascending, of the live rows that a clause after FROM selects."""
    with connect() as connection:
        for name, rows in tables.items():
            if isinstance(rows, list):
                connection.execute(f"CREATE VIEW {name} AS {scan_of(connection, rows, name=name)}")
            else:
                connection.register(name, rows)
        scan = scan_of(connection, pieces, name="this", place=PLACE)
        found = connection.execute(f"SELECT {PLACE} FROM ({scan}) AS this {clause}").fetchnumpy()
    places = np.asarray(found[PLACE], dtype=np.int64)
    places.sort()
    return places


def rows_at(pieces: Sequence[Piece], places: Places) -> Iterator[pa.Table]:
    """Yield the rows at places, ascending; row groups without one are not read."""
    start = 0
    for piece in pieces:
        low, high = np.searchsorted(places, (start, start + piece.part.rows))
        if low < high:
            for _, rows in read_groups(piece, where=places[low:high] - start):
                yield rows
        start += piece.part.rows


def hashes_at(pieces: Sequence[Piece], places: Places) -> RowHashes:
    """Return the hashes of the rows at places, ascending."""
    found = [hash_rows(rows) for rows in rows_at(pieces, places)]
    empty = np.empty(0, np.uint64)
    return RowHashes(
        np.concatenate([empty, *(one.a for one in found)]), np.concatenate([empty, *(one.b for one in found)])
    )


def changed_rows(pieces: Sequence[Piece], others: Sequence[Piece], *, rows: int) -> Difference:
    """Return which rows the parts of one table hold that those of another do not, and the reverse."""
    return difference(stored_rows(pieces), stored_rows(others), rows=rows)


def stored_rows(pieces: Sequence[Piece]) -> Iterator[Located]:
    """Yield the hashes of live rows with their places, a row group at a time."""
    start = 0
    for piece in pieces:
        for positions, hashes in hash_piece(piece):
            yield Located(hashes, positions + start)
        start += piece.part.rows


def _rows_at(pieces: Sequence[Piece], places: Places) -> Iterator[Located]:
    start = 0
    for rows in rows_at(pieces, places):
        yield Located(hash_rows(rows), places[start : start + rows.num_rows])
        start += rows.num_rows


def _staged_rows(staged: PartWriter) -> Iterator[Located]:
    start = 0
    for part in staged.parts:
        for hashes in part.hashes():
            yield Located(hashes, np.arange(start, start + len(hashes)))
            start += len(hashes)


def _without(parts: Sequence[Part], removed: Places, objects: Objects) -> list[Part]:
    """Return the parts with further rows marked as deleted."""
    kept, start = [], 0
    for part in parts:
        low, high = np.searchsorted(removed, (start, start + part.rows))
        kept.append(_mark(part, removed[low:high] - start, objects) if low < high else part)
        start += part.rows
    return kept


def _mark(part: Part, positions: Places, objects: Objects) -> Part:
    deleted = np.union1d(open_piece(part, objects).deleted, positions)
    digest: Digest = objects.put(encode_deletions(deleted))
    return msgspec.structs.replace(part, deletions=digest, deleted=len(deleted))
