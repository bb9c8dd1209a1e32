"""The point-in-time join is what reading the table row by row gives."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.data.features.joining import join_features
from everloop.data.features.records import FeatureView
from everloop.data.rows import hash_rows
from everloop.data.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

START = datetime(2013, 1, 1, tzinfo=UTC)
hours = st.integers(0, 6)
maybe_hours = st.none() | hours


class Fact(NamedTuple):
    """A row: hours, and a value that may be missing."""

    key: int | None
    happened: int | None
    known: int | None
    value: int | None


facts = st.lists(
    st.builds(Fact, st.none() | st.integers(0, 2), maybe_hours, maybe_hours, st.none() | st.integers(0, 3)),
    max_size=14,
)
entities = st.lists(st.tuples(st.none() | st.integers(0, 3), maybe_hours), max_size=8)


def times(values: Sequence[int | None]) -> Any:
    given = [None if value is None else START + timedelta(hours=value) for value in values]
    return pa.array(given, pa.timestamp("us", tz="UTC"))


def table(rows: Sequence[Fact]) -> pa.Table:
    columns = {
        "k": pa.array([row.key for row in rows], pa.int64()),
        "t": times([row.happened for row in rows]),
        "known": times([row.known for row in rows]),
        "x": pa.array([row.value for row in rows], pa.int64()),
    }
    return pa.table(columns)


@settings(deadline=None, max_examples=150)
@given(facts, entities, st.sampled_from(["", "known"]), st.sampled_from(["", "2h"]), st.randoms())
def test_ties_corrections_late_rows_and_a_ttl(
    rows: list[Fact], wanted: list[tuple[int | None, int | None]], known: str, ttl: str, random: Any
) -> None:
    asked = Table(
        arrow=pa.table(
            {"k": pa.array([key for key, _ in wanted], pa.int64()), "at": times([hour for _, hour in wanted])}
        )
    )
    view = FeatureView(
        name="v",
        source="s",
        keys=["k"],
        features={"x": "x", "twice": "2 * x"},
        event_time="t",
        known_time=known,
        where="x IS NULL OR x < 3",
        ttl=ttl,
    )
    hashes = hash_rows(table(rows))
    counted = [
        (row if known else row._replace(known=row.happened), (int(a), int(b)))
        for row, a, b in zip(rows, hashes.a, hashes.b, strict=True)
        if row.value != 3
    ]
    shuffled = random.sample(rows, len(rows))

    found = join_features(asked, [(view, Table(arrow=table(shuffled)))], time="at").to_arrow()

    expected = [_expected(counted, key, hour, ttl) for key, hour in wanted]
    assert found.column("x").to_pylist() == expected
    assert found.column("twice").to_pylist() == [None if x is None else 2 * x for x in expected]


def _expected(
    rows: list[tuple[Fact, tuple[int, int]]], key: int | None, hour: int | None, ttl: str
) -> int | None:
    """Read the rows one by one, as the record of a view says it."""
    usable = [
        (row.happened, row.known, digest, row.value)
        for row, digest in rows
        if None not in (key, hour, row.happened, row.known)
        and row.key == key
        and row.happened <= hour  # type: ignore[operator]
        and row.known <= hour  # type: ignore[operator]
    ]
    if not usable:
        return None
    best = max(usable, key=lambda one: one[:3])
    return None if ttl and hour - best[0] > 2 else best[3]  # type: ignore[operator]
