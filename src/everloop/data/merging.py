"""Three-way merge of tables: what the other side changed since the common ancestor, applied to ours.

Rows are matched by key; without keys a row is its whole content, and only how often it is there can change. Tests:
tests/unit/data/test_merging.py, tests/property/test_merging.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec
import numpy as np

from everloop.core.errors import ConflictError
from everloop.data import deltas
from everloop.data.difference import surplus
from everloop.data.engine import connect, quote
from everloop.data.parts import open_piece
from everloop.data.records import MergeConflict
from everloop.data.row_diff import make_side, shown, sides
from everloop.data.rows import RowHashes, tally

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb
    import pyarrow as pa

    from everloop.data.records import TableReference
    from everloop.data.row_diff import Sides
    from everloop.kernel.objects import Objects

Prefer = Literal["none", "ours", "theirs"]
_SAMPLE = 20


class MergeConflictError(ConflictError):
    """Both sides changed the same rows, each in another way."""

    code = "data.merge-conflict"


class MergeSchemaError(ConflictError):
    """The sides do not have the same columns."""

    code = "data.merge-schema"


class Merged(NamedTuple):
    """A merged table and what was taken over."""

    content: TableReference
    changed: int
    removed: int
    conflicts: int
    sample: list[MergeConflict]


def merge_tables(
    base: TableReference,
    ours: TableReference,
    theirs: TableReference,
    objects: Objects,
    *,
    keys: Sequence[str],
    prefer: Prefer = "none",
) -> Merged:
    """Return ours with what theirs changed since the base.

    Args:
        base: the common ancestor.
        ours: the table that is merged into.
        theirs: the table that is merged.
        objects: where the parts are.
        keys: columns that name a row; without any, rows are matched whole and nothing conflicts.
        prefer: whose row stands where both changed it differently; `none` refuses.

    Raises:
        MergeSchemaError: the columns differ.
        MergeConflictError: rows conflict and no side is preferred; the details hold some of them.
    """
    if not base.columns == ours.columns == theirs.columns:
        raise MergeSchemaError(
            f"{ours.name} and {theirs.name} do not have the columns of their common ancestor {base.name}. Bring one side into the "
            "columns of the other first.",
            subject=f"dataset:{theirs.name}",
        )
    if not keys:
        return _merge_whole(base, ours, theirs, objects)
    with connect() as connection:
        for name, side in (("ours", ours), ("theirs", theirs)):
            _make_changes(connection, name, sides(base, side, objects), [c.name for c in base.columns], keys)
        listed = ", ".join(map(quote, keys))
        names = [column.name for column in base.columns if column.name not in keys]
        conflicts, sample = _conflicts(connection, names, keys)
        if conflicts and prefer == "none":
            raise _refused(ours, theirs, conflicts, sample)
        chosen = "theirs" if prefer == "theirs" else f"theirs ANTI JOIN ours USING ({listed})"
        every = ", ".join(quote(column.name) for column in base.columns)
        upserted = connection.sql(f"SELECT {every} FROM {chosen} WHERE NOT gone").to_arrow_table()
        removed = connection.sql(f"SELECT {listed} FROM {chosen} WHERE gone").to_arrow_table()
    content = deltas.remove(ours, f"SEMI JOIN removed USING ({listed})", objects, removed=removed)
    if upserted.num_rows:
        content = deltas.upsert(content, upserted.cast(_schema(ours, objects)), keys, objects)
    return Merged(content, upserted.num_rows, removed.num_rows, conflicts, sample)


def _make_changes(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    compared: Sides,
    names: Sequence[str],
    keys: Sequence[str],
) -> None:
    """Make the table of rows that a side changed: their new values, or that they are gone."""
    make_side(connection, f"{name}_old", compared.old, names)
    make_side(connection, f"{name}_new", compared.new, names)
    others = [one for one in names if one not in keys]
    differs = " OR ".join(f"o.{quote(one)} IS DISTINCT FROM n.{quote(one)}" for one in others) or "FALSE"
    columns = ", ".join(
        f"coalesce(n.{quote(one)}, o.{quote(one)}) AS {quote(one)}"
        if one in keys
        else f"n.{quote(one)} AS {quote(one)}"
        for one in names
    )
    matched = " AND ".join(f"o.{quote(key)} IS NOT DISTINCT FROM n.{quote(key)}" for key in keys)
    connection.execute(
        f"CREATE TEMP TABLE {name} AS SELECT n.here IS NULL AS gone, {columns} FROM {name}_old o "
        f"FULL JOIN {name}_new n ON {matched} WHERE o.here IS NULL OR n.here IS NULL OR {differs}"
    )


def _conflicts(
    connection: duckdb.DuckDBPyConnection, names: Sequence[str], keys: Sequence[str]
) -> tuple[int, list[MergeConflict]]:
    differs = " OR ".join(
        ["o.gone <> t.gone", *(f"o.{quote(n)} IS DISTINCT FROM t.{quote(n)}" for n in names)]
    )
    matched = " AND ".join(f"o.{quote(key)} IS NOT DISTINCT FROM t.{quote(key)}" for key in keys)
    rows = f"FROM ours o JOIN theirs t ON {matched} WHERE {differs}"
    count = connection.execute(f"SELECT count(*) {rows}").fetchone() or (0,)
    columns = [f"o.{quote(key)}" for key in keys] + [
        f"{side}.{quote(name)}" for side in "ot" for name in names
    ]
    query = f"SELECT o.gone, t.gone, {', '.join(columns)} {rows} LIMIT {_SAMPLE}"
    return int(count[0]), [_conflict(row, names, keys) for row in connection.execute(query).fetchall()]


def _conflict(row: tuple[object, ...], names: Sequence[str], keys: Sequence[str]) -> MergeConflict:
    key, values = row[2 : 2 + len(keys)], row[2 + len(keys) :]
    return MergeConflict(
        key=shown(keys, key),
        ours=None if row[0] else shown(names, values[: len(names)]),
        theirs=None if row[1] else shown(names, values[len(names) :]),
    )


def _refused(
    ours: TableReference, theirs: TableReference, conflicts: int, sample: list[MergeConflict]
) -> MergeConflictError:
    first = ", ".join(f"{name}={value}" for name, value in sample[0].key.items())
    return MergeConflictError(
        f"{ours.name} and {theirs.name} changed {conflicts:,} rows in different ways (the first: {first}). Nothing was written. Mend the "
        'rows on one side, or merge with prefer="ours" or prefer="theirs".',
        subject=f"dataset:{theirs.name}",
        details={"conflicts": conflicts, "sample": msgspec.to_builtins(sample)},
    )


def _schema(content: TableReference, objects: Objects) -> pa.Schema:
    from everloop.data.table import Table

    return Table.open(content, objects).schema


def _merge_whole(
    base: TableReference, ours: TableReference, theirs: TableReference, objects: Objects
) -> Merged:
    """Merge rows that have no names: what both sides did alike counts once."""
    mine, other = sides(base, ours, objects), sides(base, theirs, objects)
    own = deltas.changed_rows(mine.old, mine.new, rows=mine.rows)
    found = deltas.changed_rows(other.old, other.new, rows=other.rows)
    gone = deltas.hashes_at(other.old, found.removed)
    is_gone, _ = surplus(gone, deltas.hashes_at(mine.old, own.removed))
    is_new, _ = surplus(deltas.hashes_at(other.new, found.added), deltas.hashes_at(mine.new, own.added))
    removed, removed_hashes = _located(ours, gone.take(is_gone), objects)
    added = deltas.rows_at(other.new, found.added[is_new])
    content = deltas.edit(ours, objects, removed=removed, removed_tally=tally(removed_hashes), added=added)
    return Merged(content, int(is_new.sum()), len(removed), 0, [])


def _located(content: TableReference, wanted: RowHashes, objects: Objects) -> tuple[deltas.Places, RowHashes]:
    """Return the places of rows with these hashes, as many of each as there are."""
    pieces = [open_piece(part, objects) for part in content.parts]
    places, hashes = [np.empty(0, np.int64)], [RowHashes(np.empty(0, np.uint64), np.empty(0, np.uint64))]
    for located in deltas.stored_rows(pieces):
        near = np.isin(located.hashes.a, wanted.a)
        places.append(located.places[near])
        hashes.append(located.hashes.take(near))
    every = RowHashes(np.concatenate([one.a for one in hashes]), np.concatenate([one.b for one in hashes]))
    is_other, _ = surplus(every, wanted)
    return np.concatenate(places)[~is_other], every.take(~is_other)
