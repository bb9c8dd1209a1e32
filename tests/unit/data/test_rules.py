"""References, verdicts and types are decided without I/O."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from everloop.data.records import Column
from everloop.data.rules import (
    InvalidReferenceError,
    Reference,
    SchemaMismatchError,
    has_type,
    parse_reference,
    refuse_other_columns,
)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("flights", Reference(dataset="flights")),
        ("flights@latest", Reference(dataset="flights")),
        ("flights@v12", Reference(dataset="flights", version=12)),
        ("flights@2013-02-01", Reference(dataset="flights", moment=datetime(2013, 2, 1, tzinfo=UTC))),
        ("a.quarantine@2013-02-01T12:00:00+02:00",
         Reference(dataset="a.quarantine", moment=datetime(2013, 2, 1, 10, tzinfo=UTC))),
    ],
)  # fmt: skip
def test_a_reference_names_a_version_a_moment_or_the_latest(text: str, meaning: Reference) -> None:
    assert parse_reference(text) == meaning


@pytest.mark.parametrize("text", ["", "@v1", "a b", "flights@v0", "flights@yesterday", "flights@12", "../x"])
def test_a_text_that_names_nothing_is_refused(text: str) -> None:
    with pytest.raises(InvalidReferenceError):
        parse_reference(text)


@pytest.mark.parametrize(
    ("actual", "wanted", "answer"),
    [
        ("int64", "int64", True),
        ("int64", "bigint", True),
        ("int32", "bigint", False),
        ("double", "number", True),
        ("string", "VARCHAR", True),
        ("timestamp[us, tz=UTC]", "time", True),
        ("string", "number", False),
    ],
)
def test_a_type_has_arrow_duckdb_and_everyday_names(actual: str, wanted: str, answer: bool) -> None:  # noqa: FBT001
    assert has_type(actual, wanted) is answer


def test_an_append_with_other_columns_names_them() -> None:
    old = [Column(name="a", type="int64"), Column(name="b", type="string")]
    with pytest.raises(SchemaMismatchError, match=r"missing: b; unknown: c.*mode=\"replace\""):
        refuse_other_columns("t", old, [Column(name="a", type="int64"), Column(name="c", type="string")])
