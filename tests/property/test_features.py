"""The point-in-time join is what reading the table row by row gives."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.data.features.joining import join_features
from everloop.data.features.records import FeatureView
from everloop.data.table import Table

START = datetime(2013, 1, 1, tzinfo=UTC)
hours = st.integers(0, 6)
# One fact of a key at an hour, so that the newest is one.
facts = st.dictionaries(
    st.tuples(st.integers(0, 2), hours), st.tuples(hours, st.integers(0, 99)), max_size=12
)
entities = st.lists(st.tuples(st.integers(0, 3), hours), max_size=8)


def times(values: list[int]) -> Any:
    return pa.array([START + timedelta(hours=value) for value in values], pa.timestamp("us", tz="UTC"))


@settings(deadline=None, max_examples=60)
@given(facts, entities, st.sampled_from(["", "2h"]))
def test_two_clocks_and_a_ttl(
    rows: dict[tuple[int, int], tuple[int, int]], wanted: list[tuple[int, int]], ttl: str
) -> None:
    source = pa.table(
        {
            "k": pa.array([key for key, _ in rows], pa.int64()),
            "t": times([hour for _, hour in rows]),
            "known": times([known for known, _ in rows.values()]),
            "x": pa.array([value for _, value in rows.values()], pa.int64()),
        }
    )
    asked = pa.table(
        {"k": pa.array([key for key, _ in wanted], pa.int64()), "at": times([hour for _, hour in wanted])}
    )
    view = FeatureView(
        name="v", source="s", keys=["k"], features={"x": "x"}, event_time="t", known_time="known", ttl=ttl
    )

    found = join_features(Table(arrow=asked), [(view, Table(arrow=source))], time="at").to_arrow()

    assert found.column("x").to_pylist() == [_expected(rows, key, hour, ttl) for key, hour in wanted]


def _expected(rows: dict[tuple[int, int], tuple[int, int]], key: int, hour: int, ttl: str) -> int | None:
    usable = [
        (happened, value)
        for (whose, happened), (known, value) in rows.items()
        if whose == key and happened <= hour and known <= hour
    ]
    if not usable:
        return None
    happened, value = max(usable)
    return None if ttl and hour - happened > 2 else value
