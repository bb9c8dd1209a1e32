"""A suggested suite says what a version always was, and learns how far figures move from its history."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from everloop.data import checks as check
from everloop.data.inference import infer_suite, learned
from everloop.data.profiles import profile
from everloop.data.records import Suite
from everloop.data.suites import run_suite
from everloop.data.table import Table

if TYPE_CHECKING:
    from everloop.data.service import Data


def day(seed: int, *, shift: float = 0.0, rows: int = 400) -> dict[str, list[object]]:
    chance = np.random.default_rng(seed)
    late = chance.normal(10 + shift + chance.normal() / 10, 3, rows)
    return {
        "id": list(range(rows)),
        "late": [None if chance.random() < 0.05 else float(value) for value in late],
        "origin": chance.choice(["EWR", "JFK", "LGA"], rows).tolist(),
    }


def test_one_version_suggests_types_nulls_ranges_sets_and_uniqueness() -> None:
    rows = {
        "id": list(range(100)),
        "origin": ["EWR", "JFK"] * 50,
        "note": [f"n{at}" for at in range(100)],
        "x": [None, 10.0] * 50,
    }

    suite = infer_suite("s", [profile(Table.of(rows))])

    assert suite.checks == [
        check.has_columns("id", "origin", "note", "x"),
        check.row_count(min=1),
        check.of_type("id", "int64"),
        check.not_null("id"),
        check.between("id", 0, 109, severity="warn"),
        check.unique("id", severity="warn"),
        check.of_type("origin", "string"),
        check.not_null("origin"),
        check.in_set("origin", ["EWR", "JFK"], severity="warn"),
        check.of_type("note", "string"),
        check.not_null("note"),
        check.length("note", 1, 4, severity="warn"),
        check.unique("note", severity="warn"),
        check.of_type("x", "double"),
        check.null_share("x", 0.75, severity="warn"),
        check.between("x", 10 - 1e-8, 10 + 1e-8, severity="warn"),
    ]


def test_bounds_are_the_median_and_five_robust_deviations() -> None:
    # median 11, absolute deviations 0 1 1 2 89: MAD 1
    assert learned([10, 9, 11, 12, 100]) == pytest.approx((11 - 5 * 1.4826, 11 + 5 * 1.4826))
    assert learned([10, 9, 11, 12]) is None
    low, high = learned([100, 9, 10, 11, 12]) or (0, 0)
    assert low == pytest.approx(11 - 5 * 1.4826)
    assert high == pytest.approx(100, rel=1e-5)  # the newest is always within


def test_a_version_that_moved_fails_what_history_taught_and_one_that_did_not_passes(data: Data) -> None:
    for seed in range(8):
        data.add("flights", day(seed))
    suite = data.infer_suite("flights")

    same = run_suite(suite, Table.of(day(100)))
    moved = run_suite(suite, Table.of(day(101, shift=4.0)))

    assert {one.kind for one in suite.checks} >= {"mean", "quantile", "null_share", "row_count", "in_set"}
    assert [one.check.title for one in same.results if not one.is_passed] == []
    failed = {one.check.kind for one in moved.results if not one.is_passed}
    assert {"mean", "quantile"} <= failed


def test_false_alarms_of_learned_bounds_are_rare() -> None:
    alarms = trials = 0
    for start in range(0, 400, 10):
        suite = infer_suite("s", [profile(Table.of(day(start + at))) for at in range(8)])
        found = run_suite(suite, Table.of(day(start + 9)))
        trials += 1
        alarms += any(
            not one.is_passed for one in found.results if one.check.kind in ("mean", "quantile", "null_share")
        )
    assert trials == 40
    assert alarms <= 2  # of 40 versions with five learned bounds each


def test_a_dataset_that_grows_gets_no_upper_bound_of_rows() -> None:
    profiles = [profile(Table.of({"a": list(range(rows))})) for rows in (160, 150, 140, 130, 120, 110)]

    growing = infer_suite("s", profiles).checks[1]
    steady = infer_suite("s", [profiles[at] for at in (2, 0, 3, 1, 2, 2)]).checks[1]

    assert (growing.kind, growing.high) == ("row_count", None)
    assert steady.high is not None


def test_keys_are_unique_together(data: Data) -> None:
    data.add("t", {"a": [1, 1], "b": [1, 2]}, keys=["a", "b"])

    assert check.unique("a", "b") in data.infer_suite("t").checks


def test_a_column_of_another_type_before_teaches_nothing(data: Data) -> None:
    data.add("t", {"a": ["x", "y"]})
    data.add("t", {"a": [1, 2]})

    suite = data.infer_suite("t")

    assert check.between("a", 0, 3, severity="warn") in suite.checks
    assert data.check("t", suite=suite).result.verdict == "passed"
    assert suite == Suite("t", suite.checks)
