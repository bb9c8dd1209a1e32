"""Suites of Great Expectations judge as Great Expectations did; what cannot be translated is named.

The JSON files were written by great_expectations 0.18.22 and 1.24.1; the results are what 1.24.1 found in the rows beside them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from everloop.data import checks as check
from everloop.data.suite_formats import translate_suite
from everloop.data.suite_formats.great_expectations import translate_expectations
from everloop.data.suite_formats.notes import Notes, TranslatedSuite
from everloop.data.suites import run_suite
from everloop.data.table import Table

HERE = Path(__file__).parent
FOUND = json.loads((HERE / "great_expectations_1_results.json").read_text())


def translated(*expectations: dict[str, Any]) -> TranslatedSuite:
    notes = Notes()
    translate_expectations({"expectations": list(expectations)}, notes)
    return notes.finish("s")


@pytest.mark.parametrize(
    "one", FOUND["results"], ids=[f"{at}-{one['type']}" for at, one in enumerate(FOUND["results"])]
)
def test_a_translated_expectation_judges_as_the_original_did(one: dict[str, Any]) -> None:
    found = translated(one)

    if not found.suite.checks:
        assert len(found.untranslated) == 1
        return
    result = run_suite(found.suite, Table.of(FOUND["rows"]))
    assert (result.verdict == "passed") is one["success"], [each.reason for each in result.results]


def test_most_expectations_are_translated_and_the_others_named() -> None:
    found = translate_suite(HERE / "great_expectations_1.json")

    assert found.suite.name == "flights"
    assert len(found.suite.checks) == 34
    assert [(one.where, one.rule) for one in found.untranslated if not one.reason.startswith("in part")] == [
        ("table", "expect_table_column_count_to_equal"),
        ("distance", "expect_column_kl_divergence_to_be_less_than"),
        ("distance", "expect_column_values_to_be_between"),  # of some rows
    ]


def test_a_suite_of_0_18_is_read() -> None:
    found = translate_suite(HERE / "great_expectations_0_18.json")

    assert found.suite.name == "flights"
    assert found.suite.checks == [
        check.has_columns("dest"),
        check.not_null("dest", share=0.99),
        check.between("distance", 10, None),
        check.in_set("origin", ["EWR", "JFK"]),
        check.row_count(min=1),
    ]
    assert [one.reason for one in found.untranslated] == [
        "there is no such check here",
        "it has a parameter that is filled in when it runs",
    ]


@pytest.mark.parametrize(
    "one",
    [
        {"type": "expect_nonsense", "kwargs": {}},
        {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "a"}},
        {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "a", "value_set": [], "mostly": 0}},
        {"type": "expect_column_values_to_match_regex", "kwargs": {"column": "a", "regex": "(?=x)"}},
        {"type": "expect_column_values_to_be_of_type", "kwargs": {"column": "a", "type_": "geometry"}},
        {"type": "expect_column_mean_to_be_between", "kwargs": {"column": "a", "min_value": 1, "strict_min": True}},
        {"type": "expect_column_values_to_be_unique", "kwargs": {"column": "a", "new_option": 1}},
        {},
    ],
)  # fmt: skip
def test_what_cannot_be_translated_is_named(one: dict[str, Any]) -> None:
    found = translated(one)

    assert found.suite.checks == []
    assert len(found.untranslated) == 1


def test_severities_become_ours() -> None:
    kinds = [
        {"type": "expect_column_to_exist", "kwargs": {"column": "a"}, "severity": severity}
        for severity in ("critical", "warning", "info")
    ]

    assert [one.severity for one in translated(*kinds).suite.checks] == ["fail", "warn", "warn"]


def test_a_suite_of_the_real_package_is_read() -> None:
    gx = pytest.importorskip("great_expectations")
    gx.get_context(mode="ephemeral")
    suite = gx.ExpectationSuite(name="real")
    suite.add_expectation(gx.expectations.ExpectColumnValuesToBeUnique(column="id"))

    assert translate_suite(suite).suite.checks == [check.unique("id")]
