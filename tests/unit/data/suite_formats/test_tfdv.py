"""Schemas of TFDV are read from protobuf's text form; the file was written by tensorflow-metadata."""

from __future__ import annotations

from pathlib import Path

import pytest

from everloop.data import checks as check
from everloop.data.suite_formats import translate_suite
from everloop.data.suite_formats.pbtxt import TextProtoError, parse_message

HERE = Path(__file__).parent


def test_features_become_checks_and_the_rest_is_named() -> None:
    found = translate_suite(HERE / "tfdv_schema.pbtxt")

    assert found.suite.checks == [
        check.has_columns("dest", "origin", "distance"),
        check.of_type("dest", "text"),
        check.not_null("dest"),
        check.in_set("dest", ["EWR", "JFK"]),
        check.of_type("origin", "text"),
        check.in_set("origin", ["EWR", 'J"K', "Lä"], share=0.9),
        check.not_null("origin", share=0.95),
        check.of_type("distance", "number"),
        check.between("distance", 1, 12_000),
        check.expression('NOT isnan("distance")'),
        check.not_null("distance"),
        check.of_type("hour", "integer"),
        check.between("hour", 0, 23),
        check.distinct("hour", min=1, max=24),
        check.of_type("flag", "integer"),
        check.in_set("flag", [0, 1]),
        check.of_type("words", "text"),
        check.row_count(min=10, max=100_000),
    ]
    assert [(one.where, one.rule) for one in found.untranslated] == [
        ("distance", "not_in_environment"), ("distance", "drift_comparator"), ("words", "value_count"),
        ("words", "natural_language_domain"), ("old", "lifecycle_stage"), ("nested", "type"),
        ("nested", "struct_domain"), ("table", "num_examples_drift_comparator"),
    ]  # fmt: skip


def test_every_form_of_a_value_is_read() -> None:
    text = r"""
    # a comment
    a: 1, b: -2.5e3; c: "x\n\x41\101" 'y\u00e4' d: [1, 0x1F, TRUE_NAME] e { f <g: true> } e: {} h: [{i: 1}, {i: .5f}]
    [my.ext/x]: inf
    """

    assert parse_message(text, name="t") == {
        "a": [1],
        "b": [-2500.0],
        "c": ["x\nAAyä"],
        "d": [1, 31, "TRUE_NAME"],
        "e": [{"f": [{"g": [True]}]}, {}],
        "h": [{"i": [1]}, {"i": [0.5]}],
        "my.ext/x": [float("inf")],
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\nb", "line 2: after a field"),
        ("a {\n b: 1", "line 2: a field is expected"),
        ("a: ?", "line 1: '\\?' is not expected"),
        ("a: {} }", "line 1"),
        ('a: "x', "line 1"),
        ("\n: 3", "line 2: a field is expected"),
        ("a { " * 101, "too deeply"),
        ("a: }", "a value is expected"),
    ],
)
def test_an_error_says_the_line(text: str, told: str) -> None:
    with pytest.raises(TextProtoError, match=told):
        parse_message(text, name="t")
