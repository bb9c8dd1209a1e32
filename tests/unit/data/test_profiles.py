"""One scan gives counts, ranges, moments, frozen edges and top values."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pyarrow as pa
import pytest

from everloop.data.profiles import profile
from everloop.data.records import TopValue
from everloop.data.table import Table


def test_a_number_column_has_known_statistics() -> None:
    values = [*map(float, range(1, 102)), float("nan"), None]

    found = profile(Table(arrow=pa.table({"x": values}))).column("x")

    assert (found.rows, found.nulls, found.nans, found.minimum, found.maximum) == (103, 1, 1, 1.0, 101.0)
    assert found.mean == pytest.approx(51.0)
    assert found.std == pytest.approx(29.3002, abs=1e-4)
    assert found.distinct == pytest.approx(101, rel=0.1)


def test_edges_are_at_most_51_ascending_values_of_the_column() -> None:
    found = profile(Table(arrow=pa.table({"x": [number % 997 for number in range(10_000)]}))).column("x")

    assert len(found.edges) == 51
    assert found.edges == sorted(set(found.edges))
    assert (found.edges[0], found.edges[-1]) == (0.0, 996.0)


def test_a_constant_column_has_one_edge() -> None:
    assert profile(Table(arrow=pa.table({"x": [7] * 10}))).column("x").edges == [7.0]


def test_a_category_has_its_top_values_most_first_ties_by_value() -> None:
    found = profile(Table(arrow=pa.table({"c": ["b", "a", "c", "c", None]}))).column("c")

    assert (found.kind, found.nulls, found.distinct) == ("category", 1, 3)
    assert [(top.value, top.count) for top in found.top] == [("c", 2), ("a", 1), ("b", 1)]


def test_a_column_of_many_texts_is_no_category() -> None:
    found = profile(Table(arrow=pa.table({"t": [f"text {number}" for number in range(2_000)]}))).column("t")

    assert (found.kind, found.top) == ("text", [])


def test_times_have_a_range_in_utc() -> None:
    table = Table(
        arrow=pa.table(
            {
                "t": [datetime(2013, 1, 1, tzinfo=UTC), datetime(2013, 2, 1, tzinfo=UTC)],
                "d": [date(2013, 1, 1), None],
            }
        )
    )

    found = profile(table)

    assert (found.column("t").earliest, found.column("t").latest) == (
        datetime(2013, 1, 1, tzinfo=UTC),
        datetime(2013, 2, 1, tzinfo=UTC),
    )
    assert found.column("d").earliest == datetime(2013, 1, 1, tzinfo=UTC)


def test_a_boolean_counts_both() -> None:
    assert profile(Table(arrow=pa.table({"b": [True, True, False]}))).column("b").top == [
        TopValue(value="true", count=2),
        TopValue(value="false", count=1),
    ]


def test_an_empty_or_missing_column_has_no_figures() -> None:
    found = profile(Table(arrow=pa.table({"x": pa.array([None, None], pa.float64())}))).column("x")

    assert (found.nulls, found.mean, found.edges) == (2, None, [])
