"""Law: the suite that a version suggests passes on that version, whatever its columns hold and whatever came before it."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.data.inference import infer_suite
from everloop.data.profiles import profile
from everloop.data.suites import run_suite
from everloop.data.table import Table

FLOATS = st.floats(width=64) | st.sampled_from([0.0, -0.0, 1e308, -1e308, 5e-324, 0.1, 1e15 + 0.5])
MOMENTS = st.datetimes(min_value=datetime(1700, 1, 1), max_value=datetime(2200, 1, 1))  # noqa: DTZ001 - a column without zone
KINDS: dict[str, tuple[st.SearchStrategy[Any], pa.DataType]] = {
    "real": (FLOATS, pa.float64()),
    "small": (st.integers(-5, 5), pa.int8()),
    "big": (st.integers(-(2**63), 2**63 - 1), pa.int64()),
    "huge": (st.integers(2**60, 2**64 - 1), pa.uint64()),
    "category": (st.sampled_from(["a", "b", "it's", "", "ä"]), pa.string()),
    "text": (st.text(max_size=8), pa.string()),
    "flag": (st.booleans(), pa.bool_()),
    "day": (st.dates(date(1700, 1, 1), date(2200, 1, 1)), pa.date32()),
    "at": (MOMENTS, pa.timestamp("us")),
    "money": (st.decimals(-1000, 1000, places=2), pa.decimal128(12, 2)),
    "list": (st.lists(st.integers(0, 3), max_size=3), pa.list_(pa.int64())),
}


@st.composite
def tables(draw: st.DrawFn) -> Table:
    rows = draw(st.integers(1, 80))
    columns = {}
    for name, (values, kind) in KINDS.items():
        one = values if draw(st.booleans()) else values | st.none()
        pool = draw(st.lists(one, min_size=1, max_size=rows))
        columns[name] = pa.array([pool[at % len(pool)] for at in range(rows)], kind)
    return Table(arrow=pa.table(columns))


@settings(max_examples=60, deadline=None)
@given(tables(), st.lists(tables(), max_size=7))
def test_a_suggested_suite_passes_on_its_own_version(table: Table, before: list[Table]) -> None:
    suite = infer_suite("s", [profile(one) for one in [table, *before]])

    result = run_suite(suite, table)

    assert [(one.check.title, one.reason) for one in result.results if not one.is_passed] == []
