"""Serving is compared with training column by column: shifted ones are named, clean ones are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from everloop.data.table import Table
from everloop.monitoring.skew import NoSkewRowsError, compare_sides, side_of_predictions, side_of_table


def rows(seed: int, count: int = 4_000, *, shift: float = 0.0) -> dict[str, Any]:
    chance = np.random.default_rng(seed)
    return {
        "temp": chance.normal(shift, 1, count),
        "hour": chance.integers(0, 24, count),
        "origin": chance.choice(["EWR", "JFK", "LGA"], count),
        "is_late": chance.integers(0, 2, count) > 0,
    }


def side(given: dict[str, Any], name: str = "t@v1") -> Any:
    return side_of_table(Table.of(given, name=name))


def test_the_same_distribution_is_no_skew_and_a_shift_is_one() -> None:
    clean = compare_sides(side(rows(0)), side(rows(1)), delta=0.05)
    shifted = compare_sides(side(rows(0)), side(rows(2, shift=0.8)), delta=0.05)

    assert (clean.verdict, clean.skewed) == ("none", [])
    assert (shifted.verdict, shifted.skewed) == ("drift", ["temp"])
    assert (shifted.training, shifted.training_rows) == ("t@v1", 4_000)


def test_clean_windows_alarm_in_at_most_a_twentieth() -> None:
    trained = side(rows(0))

    alarms = sum(
        compare_sides(trained, side(rows(seed, 1_000)), delta=0.02).verdict == "drift"
        for seed in range(1, 61)
    )

    assert alarms <= 3


def test_another_type_missing_values_and_new_values_are_broken() -> None:
    served = rows(1)
    served["hour"] = [str(hour) for hour in served["hour"]]
    served["temp"] = np.where(np.arange(4_000) % 2 == 0, np.nan, served["temp"])
    served["origin"] = np.where(np.arange(4_000) % 10 == 0, "ZZZ", served["origin"])

    report = compare_sides(side(rows(0)), side(served), delta=0.9)

    assert report.verdict == "drift"
    assert [told.partition(":")[0] for told in report.broken] == ["hour", "temp", "origin"]


def test_columns_of_one_side_are_named_and_times_passed_over() -> None:
    trained = rows(0) | {"target": np.zeros(4_000), "at": np.arange(4_000).astype("datetime64[us]")}
    served = rows(1) | {"extra": np.zeros(4_000), "at": np.arange(4_000).astype("datetime64[us]")}

    report = compare_sides(side(trained), side(served), delta=0.05)

    assert (report.only_training, report.only_serving, report.passed_over) == (["target"], ["extra"], ["at"])


def test_few_rows_are_insufficient() -> None:
    assert compare_sides(side(rows(0)), side(rows(1, 10)), delta=0.05).verdict == "insufficient"


def test_a_feature_named_like_a_column_of_the_log_is_found_under_its_own_name() -> None:
    log = pa.table({"version": [1], "time": [0], "feature.time": [3.0], "temp": [1.0]})

    assert side_of_predictions(log, name="m").types == {"time": pa.float64(), "temp": pa.float64()}


@pytest.mark.parametrize(
    ("served", "columns"),
    [({"other": [1]}, []), ({"temp": pa.array([], pa.float64())}, []), (rows(1), ["nothing"])],
)
def test_nothing_to_compare_is_an_error(served: dict[str, Any], columns: list[str]) -> None:
    with pytest.raises(NoSkewRowsError):
        compare_sides(side(rows(0)), side(served), delta=0.05, columns=columns)
