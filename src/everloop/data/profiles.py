"""Profile a table in ONE DuckDB scan: counts, ranges, moments, frozen quantile edges, top values.

The edges are exact quantiles (no sketch), so that the same content gives the same bins everywhere. Tests:
tests/unit/data/test_profiles.py.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from everloop.core.clock import from_microseconds
from everloop.data.engine import connect, quote
from everloop.data.records import Column, ColumnKind, ColumnProfile, Profile, TopValue

if TYPE_CHECKING:
    from collections.abc import Callable

    from everloop.data.table import Table

BINS = 50
TOP = 50
# A text column is a category when a sample has at most this many values; else its values are not counted one
# by one.
_CATEGORY_VALUES = 1_000
_SAMPLE_ROWS = 20_000
_PROBABILITIES = [step / BINS for step in range(BINS + 1)]


def profile(table: Table) -> Profile:
    """Return the statistics of every column.

    Cost: one scan; the quantiles hold each number column in memory once.
    """
    kinds = _kinds(table)
    asked = [(column, kinds[column.name], _questions(column, kinds[column.name])) for column in table.columns]
    selected = ["count(*)", *(question for _, _, questions in asked for question in questions)]
    with connect(this=table) as connection:
        row = connection.execute(f"SELECT {', '.join(selected)} FROM this").fetchone() or ()
    answers = iter(row[1:])
    rows = int(row[0])
    columns = [
        _READERS[kind](column, kind, rows, [next(answers) for _ in questions])
        for column, kind, questions in asked
    ]
    return Profile(digest=table.digest, rows=rows, columns=columns)


def _kinds(table: Table) -> dict[str, ColumnKind]:
    kinds = {column.name: _kind(column.type) for column in table.columns}
    texts = [name for name, kind in kinds.items() if kind == "text"]
    if texts:
        counts = ", ".join(f"count(DISTINCT {quote(name)})" for name in texts)
        with connect(this=table) as connection:
            sample = f"SELECT {counts} FROM (SELECT * FROM this LIMIT {_SAMPLE_ROWS})"
            found = connection.execute(sample).fetchone() or ()
        for name, count in zip(texts, found, strict=True):
            kinds[name] = "category" if count <= _CATEGORY_VALUES else "text"
    return kinds


def _kind(kind: str) -> ColumnKind:
    if kind.startswith(("int", "uint", "float", "double", "decimal")):
        return "number"
    if kind.startswith(("timestamp", "date")):
        return "time"
    return {"string": "text", "bool": "boolean"}.get(kind, "other")  # type: ignore[return-value]  # values of ColumnKind


def _questions(column: Column, kind: ColumnKind) -> list[str]:
    name = quote(column.name)
    first = [f"count({name})"]
    if kind == "number":
        number = f"{name}::DOUBLE"
        finite = f"FILTER (WHERE isfinite({number}))"
        return [
            *first,
            f"count(*) FILTER (WHERE isnan({number}))",
            *(
                f"{function}({number}) {finite}"
                for function in ("approx_count_distinct", "min", "max", "avg", "stddev_samp")
            ),
            f"quantile_disc({number}, {_PROBABILITIES}) {finite}",
        ]
    if kind in ("category", "boolean"):
        counted = f"map_entries(histogram({name}::VARCHAR))"
        return [*first, counted]
    if kind == "time":
        ends = (f"epoch_us({function}({name})::TIMESTAMP)" for function in ("min", "max"))
        return [*first, f"approx_count_distinct({name})", *ends]
    return [*first, f"approx_count_distinct({name}::VARCHAR)"]


def _read_number(column: Column, kind: ColumnKind, rows: int, answers: list[Any]) -> ColumnProfile:
    present, nans, distinct, low, high, mean, std, edges = answers
    return ColumnProfile(
        name=column.name,
        type=column.type,
        kind=kind,
        rows=rows,
        nulls=rows - present,
        nans=nans,
        distinct=distinct or 0,
        minimum=low,
        maximum=high,
        mean=_finite(mean),
        std=_finite(std),
        edges=sorted(set(edges or [])),
    )


def _read_category(column: Column, kind: ColumnKind, rows: int, answers: list[Any]) -> ColumnProfile:
    present, entries = answers
    pairs = sorted(
        ((entry["key"], entry["value"]) for entry in entries or []), key=lambda pair: (-pair[1], pair[0])
    )
    return ColumnProfile(
        name=column.name,
        type=column.type,
        kind=kind,
        rows=rows,
        nulls=rows - present,
        distinct=len(pairs),
        top=[TopValue(value=value, count=count) for value, count in pairs[:TOP]],
    )


def _read_time(column: Column, kind: ColumnKind, rows: int, answers: list[Any]) -> ColumnProfile:
    present, distinct, earliest, latest = answers
    return ColumnProfile(
        name=column.name,
        type=column.type,
        kind=kind,
        rows=rows,
        nulls=rows - present,
        distinct=distinct,
        earliest=None if earliest is None else from_microseconds(earliest),
        latest=None if latest is None else from_microseconds(latest),
    )


def _read_other(column: Column, kind: ColumnKind, rows: int, answers: list[Any]) -> ColumnProfile:
    present, distinct = answers
    return ColumnProfile(
        name=column.name, type=column.type, kind=kind, rows=rows, nulls=rows - present, distinct=distinct
    )


_READERS: dict[ColumnKind, Callable[[Column, ColumnKind, int, list[Any]], ColumnProfile]] = {
    "number": _read_number,
    "category": _read_category,
    "boolean": _read_category,
    "time": _read_time,
    "text": _read_other,
    "other": _read_other,
}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
