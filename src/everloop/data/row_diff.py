"""Which rows two versions of a table do not share, read from as little as possible.

Parts that both versions hold with the same deletions are passed over; of a part with other deletions only the rows that one
version deleted are read. Rows are matched by key when there is one, else whole. Tests: tests/unit/data/test_row_diff.py.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from everloop.data.deltas import changed_rows, rows_at
from everloop.data.engine import connect, quote, scan_of
from everloop.data.parts import Piece, open_piece
from everloop.data.records import RowDiff, RowSample

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb

    from everloop.data.parts import Positions
    from everloop.data.records import Part, Plain, TableReference
    from everloop.kernel.objects import Objects


class Sides(NamedTuple):
    """What has to be compared of two versions: parts with other rows hidden."""

    old: list[Piece]
    new: list[Piece]

    @property
    def rows(self) -> int:
        """Return the rows of both sides together."""
        return sum(piece.looked_at for side in self for piece in side)


def sides(old: TableReference, new: TableReference, objects: Objects) -> Sides:
    """Return the parts of two versions that differ, with what both share hidden as if it were deleted."""
    shared = Counter(part.key for part in old.parts) & Counter(part.key for part in new.parts)
    olds, news = _beyond(old.parts, shared), _beyond(new.parts, shared)
    left, right = [], []
    for part in olds:
        one = open_piece(part, objects)
        twin = next((other for other in news if other.digest == part.digest), None)
        if twin is None:
            left.append(one)
            continue
        news.remove(twin)
        other = open_piece(twin, objects)
        left.append(one._replace(only=np.setdiff1d(other.deleted, one.deleted)))
        right.append(other._replace(only=np.setdiff1d(one.deleted, other.deleted)))
    right += [open_piece(part, objects) for part in news]
    return Sides([piece for piece in left if piece.looked_at], [piece for piece in right if piece.looked_at])


def _beyond(parts: Sequence[Part], shared: Counter[str]) -> list[Part]:
    """Return the parts without those that both sides share, of which a table may hold one several times."""
    left, found = Counter(shared), []
    for part in parts:
        if left[part.key]:
            left[part.key] -= 1
        else:
            found.append(part)
    return found


def diff_rows(
    old: TableReference, new: TableReference, objects: Objects, *, keys: Sequence[str] = (), sample: int = 20
) -> RowDiff:
    """Return the rows added, removed and changed from one version to another.

    Args:
        old: one version.
        new: the other; only columns of both are compared.
        objects: where their parts are.
        keys: columns that name a row on both sides.
        sample: how many rows to show.
    """
    compared = sides(old, new, objects)
    names = [column.name for column in old.columns if column in new.columns]
    if keys and old.columns == new.columns:
        return _diff_by_key(compared, names, list(keys), sample)
    return _diff_whole(compared, sample)


def _diff_by_key(compared: Sides, names: list[str], keys: list[str], sample: int) -> RowDiff:
    if not compared.rows:
        return RowDiff(keys=keys, added=0, removed=0, changed=0, changed_columns={}, sample=[], compared=0)
    others = [name for name in names if name not in keys]
    differs = [f"o.{quote(name)} IS DISTINCT FROM n.{quote(name)}" for name in others]
    is_changed = f"(o.here AND n.here AND ({' OR '.join(differs) or 'FALSE'}))"
    matched = " AND ".join(f"o.{quote(key)} IS NOT DISTINCT FROM n.{quote(key)}" for key in keys)
    joined = f"FROM old_rows AS o FULL JOIN new_rows AS n ON {matched}"
    figures = [
        "count(*) FILTER (WHERE o.here IS NULL)",
        "count(*) FILTER (WHERE n.here IS NULL)",
        f"count(*) FILTER (WHERE {is_changed})",
        *(f"count(*) FILTER (WHERE o.here AND n.here AND {one})" for one in differs),
    ]
    with connect() as connection:
        make_side(connection, "old_rows", compared.old, names)
        make_side(connection, "new_rows", compared.new, names)
        row = connection.execute(f"SELECT {', '.join(figures)} {joined}").fetchone() or (0, 0, 0)
        rows = _sample_by_key(connection, joined, is_changed, names, sample)
    counts = {name: int(count) for name, count in zip(others, row[3:], strict=True) if count}
    return RowDiff(
        keys=keys,
        added=int(row[0]),
        removed=int(row[1]),
        changed=int(row[2]),
        changed_columns=counts,
        sample=rows,
        compared=compared.rows,
    )


def make_side(
    connection: duckdb.DuckDBPyConnection, name: str, pieces: Sequence[Piece], names: Sequence[str]
) -> None:
    """Make the view of one side's rows: some columns, and `here`, which is true."""
    columns = ", ".join(map(quote, names))
    if pieces:
        scan = scan_of(connection, pieces, name=name)
        connection.execute(f"CREATE TEMP VIEW {name} AS SELECT TRUE AS here, {columns} FROM ({scan})")
        return
    empty = ", ".join(f"NULL AS {quote(one)}" for one in names)
    connection.execute(f"CREATE TEMP VIEW {name} AS SELECT TRUE AS here, {empty} LIMIT 0")


def _sample_by_key(
    connection: duckdb.DuckDBPyConnection, joined: str, is_changed: str, names: Sequence[str], sample: int
) -> list[RowSample]:
    columns = ", ".join(f"{side}.{quote(name)}" for side in "on" for name in names)
    query = (
        f"SELECT o.here, n.here, {columns} {joined} WHERE o.here IS NULL OR n.here IS NULL OR {is_changed}"
    )
    query += f" ORDER BY (o.here AND n.here) DESC NULLS LAST LIMIT {int(sample)}"
    width = len(names)
    return [
        RowSample(
            before=shown(names, row[2 : 2 + width]) if row[0] else None,
            after=shown(names, row[2 + width :]) if row[1] else None,
        )
        for row in connection.execute(query).fetchall()
    ]


def _diff_whole(compared: Sides, sample: int) -> RowDiff:
    found = changed_rows(compared.old, compared.new, rows=compared.rows)
    removed = _first(compared.old, found.removed, sample)
    added = _first(compared.new, found.added, sample - len(removed))
    return RowDiff(
        keys=[],
        added=len(found.added),
        removed=len(found.removed),
        changed=0,
        changed_columns={},
        sample=[*(RowSample(before=row) for row in removed), *(RowSample(after=row) for row in added)],
        compared=compared.rows,
    )


def _first(pieces: Sequence[Piece], places: Positions, count: int) -> list[dict[str, Plain]]:
    rows = list(rows_at(pieces, places[:count]))
    if not rows:
        return []
    table = pa.concat_tables(rows)
    return [shown(table.column_names, tuple(row.values())) for row in table.to_pylist()]


def shown(names: Sequence[str], values: Sequence[object]) -> dict[str, Plain]:
    """Return a row in plain values, times and nested values as text."""
    return {
        name: value
        if isinstance(value, str | int | float | bool | None)
        else str(msgspec.to_builtins(value, enc_hook=str))
        for name, value in zip(names, values, strict=True)
    }
