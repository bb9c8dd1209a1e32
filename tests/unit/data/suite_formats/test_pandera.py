"""Schemas of Pandera in their YAML, their JSON and as objects become the same suite; what is left over is named.

The files were written by pandera 0.35.0; the results are what it found in the rows beside them.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from everloop.data import checks as check
from everloop.data.suite_formats import UnknownSuiteError, translate_suite
from everloop.data.suite_formats.notes import Notes
from everloop.data.suite_formats.pandera import translate_schema
from everloop.data.suites import MissingColumnError, run_suite
from everloop.data.table import Table

HERE = Path(__file__).parent
FOUND = json.loads((HERE / "pandera_results.json").read_text())


def test_yaml_and_json_say_the_same() -> None:
    assert translate_suite(HERE / "pandera.yaml") == translate_suite(HERE / "pandera.json")


def test_columns_become_checks() -> None:
    found = translate_suite(HERE / "pandera.yaml")

    assert found.suite.name == "flights"
    assert [one for one in found.suite.checks if one.column == "dest"] == [
        check.of_type("dest", "text"),
        check.matches("dest", "(?:^[A-Z]{3}$)[\\s\\S]*"),
        check.length("dest", 1, 3),
        check.in_set("dest", ["EWR", "JFK"]),
    ]
    assert check.expression('"hour" < 24') in found.suite.checks
    assert check.unique("id", "dest") in found.suite.checks
    assert [(one.where, one.rule) for one in found.untranslated] == [
        ("table", "strict"), ("distance", "coerce"), ("hour", "required"), ("level", "dtype"), ("table", "index"),
    ]  # fmt: skip


@pytest.mark.parametrize("one", FOUND["results"], ids=range(len(FOUND["results"])))
def test_a_translated_schema_judges_as_the_original_did(one: dict[str, Any]) -> None:
    notes = Notes()
    translate_schema(one["schema"], notes)
    found = notes.finish("s")

    try:
        is_passed = run_suite(found.suite, Table.of(FOUND["rows"])).verdict == "passed"
    except MissingColumnError:
        is_passed = False
    assert found.untranslated == []
    assert is_passed is one["success"], one["schema"]


def test_the_form_of_older_versions_is_read() -> None:
    old = {
        "columns": {
            "a": {
                "dtype": "int64",
                "nullable": True,
                "checks": {
                    "greater_than": {"value": 0, "options": {"raise_warning": True}},
                    "in_range": {"min_value": 1, "max_value": 9, "include_max": False},
                    "my_own": {"value": 3},
                },
                "required": True,
                "regex": False,
            },
            "^b.*": {"regex": True},
        },
        "checks": None,
    }
    notes = Notes()
    translate_schema(old, notes)
    found = notes.finish("s")

    assert found.suite.checks == [
        check.has_columns("a"),
        check.of_type("a", "int64"),
        check.expression('"a" > 0', severity="warn"),
        check.expression('"a" >= 1 AND "a" < 9'),
    ]
    assert [(one.where, one.rule) for one in found.untranslated] == [("a", "my_own"), ("^b.*", "regex")]


def test_a_schema_object_is_described_by_its_attributes() -> None:
    rule = SimpleNamespace(
        name="isin", statistics={"allowed_values": ["x"]}, raise_warning=False, ignore_na=True
    )
    own = SimpleNamespace(name=None, statistics=None, raise_warning=False)
    column = SimpleNamespace(
        dtype="str", nullable=False, unique=False, required=True, coerce=False, checks=[rule, own]
    )
    schema = SimpleNamespace(name="s", columns={"a": column}, strict=True, unique=None, checks=[])

    found = translate_suite(schema)

    assert [one.kind for one in found.suite.checks] == ["has_columns", "of_type", "not_null", "in_set"]
    assert found.suite.checks[0].is_exact
    assert [one.rule for one in found.untranslated] == ["function"]


def test_translated_checks_run() -> None:
    found = translate_suite(HERE / "pandera.yaml")
    rows = {"carrier": ["ABZ", "AZ", None], "distance": [1.0, 0.5, 3.0], "flag": [True, False, None]}
    wanted = {"carrier", "distance", "flag"}
    checks = [
        one
        for one in found.suite.checks
        if one.column in wanted or any(f'"{name}"' in one.sql for name in wanted)
    ]

    result = run_suite(type(found.suite)("s", checks), Table.of(rows))

    failed = {one.check.title: one.failed_rows for one in result.results if not one.is_passed}
    assert failed == {
        "between(distance, 1, 12000)": 1,
        "not_null(carrier)": 1,
        "matches(carrier, [\\s\\S]*(?:B)[\\s\\S]*)": 1,
        "not_null(flag)": 1,
        'expression("flag" = TRUE)': 1,
        'expression("flag" <> FALSE)': 1,
    }


def test_a_schema_of_the_real_package_is_read() -> None:
    pandera = pytest.importorskip("pandera.pandas")
    schema = pandera.DataFrameSchema({"a": pandera.Column(int, pandera.Check.ge(0), unique=True)})

    assert translate_suite(schema).suite.checks == [
        check.has_columns("a"),
        check.of_type("a", "int64"),
        check.not_null("a"),
        check.unique("a"),
        check.between("a", 0, None),
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.json", "{}"), ("a.json", "{"), ("a.yaml", "a: ["), ("a.yaml", "[1]"), ("b.json", "3")],
)
def test_what_is_no_suite_is_refused(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)

    with pytest.raises(UnknownSuiteError):
        translate_suite(tmp_path / name)
    with pytest.raises(UnknownSuiteError):
        translate_suite(3)
