"""Features are joined as they were known at each entity's time, one row for each entity."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from everloop.data.features.joining import FeatureViewError, join_features
from everloop.data.features.records import FeatureView
from everloop.data.table import Table

if TYPE_CHECKING:
    from everloop.data.service import Data

START = datetime(2013, 1, 1, tzinfo=UTC)


def at(*days: float | None) -> Any:
    return pa.array(
        [None if day is None else START + timedelta(days=day) for day in days], pa.timestamp("us", tz="UTC")
    )


def view(**changes: Any) -> FeatureView:
    given = {"name": "w", "source": "weather", "keys": ["k"], "features": {"temp": "temp"}, "event_time": "t"}
    return FeatureView(**{**given, **changes})


def joined(entities: pa.Table, rows: pa.Table, **changes: Any) -> list[Any]:
    found = join_features(Table(arrow=entities), [(view(**changes), Table(arrow=rows))], time="at")
    return found.to_arrow().column("temp").to_pylist()


ROWS = pa.table({"k": ["a", "a", "b"], "t": at(1, 3, 2), "temp": [1.0, 3.0, 2.0]})


def test_each_entity_gets_the_latest_row_at_or_before_its_time_in_its_place() -> None:
    entities = pa.table({"k": ["b", "a", "a", "a", "c"], "at": at(2, 0, 1, 9, 9)})

    assert joined(entities, ROWS) == [2.0, None, 1.0, 3.0, None]


def test_no_entity_is_lost_or_doubled() -> None:
    keys = np.arange(10_000)
    entities = pa.table({"k": keys, "at": pa.array([START] * 10_000, pa.timestamp("us", tz="UTC"))})
    some = keys[101:]
    rows = pa.table(
        {
            "k": np.concatenate([some, some]),
            "t": at(*[-1.0] * (2 * len(some))),
            "temp": np.ones(2 * len(some)),
        }
    )

    found = join_features(Table(arrow=entities), [(view(), Table(arrow=rows))], time="at").to_arrow()

    assert (found.num_rows, found.column("temp").null_count) == (10_000, 101)
    assert found.column("k").to_pylist() == keys.tolist()


def test_a_late_row_does_not_leak_into_the_time_before_it_was_known() -> None:
    late = ROWS.append_column("known", at(1, 8, 2))

    entities = pa.table({"k": ["a", "a", "a"], "at": at(2, 5, 8)})
    assert joined(entities, late, known_time="known") == [1.0, 1.0, 3.0]
    assert joined(entities, late) == [1.0, 3.0, 3.0]


def test_an_old_fact_that_becomes_known_late_does_not_replace_a_newer_one() -> None:
    rows = pa.table({"k": ["a", "a"], "t": at(3, 1), "known": at(3, 5), "temp": [3.0, 1.0]})

    assert joined(pa.table({"k": ["a"], "at": at(9)}), rows, known_time="known") == [3.0]


def test_of_facts_that_became_known_together_the_newest_counts() -> None:
    rows = pa.table({"k": ["a"] * 3, "t": at(1, 3, 2), "known": at(4, 4, 4), "temp": [1.0, 3.0, 2.0]})

    assert joined(pa.table({"k": ["a", "a"], "at": at(3, 4)}), rows, known_time="known") == [None, 3.0]


def test_a_forecast_is_not_used_before_its_time() -> None:
    rows = pa.table({"k": ["a"], "t": at(5), "known": at(1), "temp": [5.0]})

    assert joined(pa.table({"k": ["a", "a"], "at": at(4, 5)}), rows, known_time="known") == [None, 5.0]


def test_a_row_that_outlived_its_ttl_is_missing() -> None:
    entities = pa.table({"k": ["a", "a"], "at": at(5, 5.1)})

    assert joined(entities, ROWS, ttl="2d") == [3.0, None]


def test_expressions_and_names_that_come_twice(data: Data) -> None:
    data.add("weather", ROWS)
    entities = {"k": ["a"], "at": [START + timedelta(days=9)], "temp": [0.0]}
    views = [view(features={"temp": "temp", "hot": "temp > 2"})]

    found = data.training_rows(entities, views, time="at").to_arrow().to_pylist()

    assert found == [{"k": "a", "at": START + timedelta(days=9), "temp": 0.0, "w__temp": 3.0, "hot": True}]


def test_a_view_that_does_not_fit_is_named() -> None:
    entities = pa.table({"k": ["a"], "at": at(1)})
    with pytest.raises(FeatureViewError, match="source of w has no column known"):
        joined(entities, ROWS, known_time="known")
    with pytest.raises(FeatureViewError, match="the entities has no column other"):
        joined(entities, ROWS.append_column("other", pa.array([1, 2, 3])), keys=["other"])
    with pytest.raises(FeatureViewError, match="feature view w cannot be computed"):
        joined(entities, ROWS, features={"temp": "nothing + 1"})


def test_of_rows_of_one_time_the_one_known_last_counts_and_then_the_order_of_rows_decides_nothing() -> None:
    rows = pa.table(
        {"k": ["a"] * 4, "t": at(1, 1, 1, 1), "known": at(2, 3, 3, 2), "temp": [9.0, 1.0, 2.0, 8.0]}
    )
    entities = pa.table({"k": ["a", "a"], "at": at(2, 3)})

    found = {
        tuple(joined(entities, rows.take(list(order)), known_time="known"))
        for order in ((0, 1, 2, 3), (3, 2, 1, 0), (1, 0, 3, 2))
    }

    assert len(found) == 1
    early, late = found.pop()
    assert early in (9.0, 8.0)
    assert late in (1.0, 2.0)


def test_rows_of_a_stored_version_with_deletions_and_two_keys(data: Data) -> None:
    keys = {"k": ["a", "b"] * 50, "n": list(range(100))}
    data.add("weather", pa.table({**keys, "t": at(*[1.0] * 100), "temp": np.arange(100.0)}))
    data.remove("weather", "temp >= 90")
    fresh = pa.table({"k": ["b"], "n": [3], "t": at(2), "temp": [-1.0]})
    data.add("weather", fresh, mode="append")
    entities = pa.table({"n": [3, 4, 95, None], "k": ["b", "a", "b", "a"], "at": at(3, 3, 3, 3)})

    found = data.training_rows(entities, [view(keys=["k", "n"])], time="at").to_arrow()

    assert found.column("temp").to_pylist() == [-1.0, 4.0, None, None]
    assert found.column("n").to_pylist() == [3, 4, 95, None]


def test_only_rows_that_fit_the_condition_count() -> None:
    entities = pa.table({"k": ["a"], "at": at(9)})

    assert joined(entities, ROWS, where="temp < 2") == [1.0]


def test_a_column_named_like_our_own_is_no_trouble() -> None:
    rows = ROWS.append_column("slot", pa.array([7, 8, 9])).append_column("number", pa.array([1, 1, 1]))
    entities = pa.table({"k": ["a"], "at": at(9), "number": [4], "c": [1]})

    assert joined(entities, rows, features={"temp": "slot + number"}) == [9]


def test_a_time_that_is_no_time_is_refused() -> None:
    with pytest.raises(FeatureViewError, match="column at is of type int64, which is no time"):
        joined(pa.table({"k": ["a"], "at": [3]}), ROWS)
