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
    is_delta_better,
    needs_compaction,
    parse_ref_name,
    parse_reference,
    parts_to_merge,
    refuse_other_columns,
)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("flights", Reference(dataset="flights")),
        ("flights@latest", Reference(dataset="flights")),
        ("flights@v12", Reference(dataset="flights", version=12)),
        ("flights@2013-02-01", Reference(dataset="flights", moment=datetime(2013, 2, 1, tzinfo=UTC))),
        ("flights@staging", Reference(dataset="flights", ref="staging")),
        ("flights@main~2", Reference(dataset="flights", back=2)),
        ("flights@v12~1", Reference(dataset="flights", version=12, back=1)),
        ("flights@run:0192-ab", Reference(dataset="flights", run="0192-ab")),
        ("a.quarantine@2013-02-01T12:00:00+02:00",
         Reference(dataset="a.quarantine", moment=datetime(2013, 2, 1, 10, tzinfo=UTC))),
    ],
)  # fmt: skip
def test_a_reference_names_a_version_a_ref_a_moment_or_the_latest(text: str, meaning: Reference) -> None:
    assert parse_reference(text) == meaning


@pytest.mark.parametrize(
    "text", ["", "@v1", "a b", "flights@v0", "flights@12", "flights@main~x", "flights@a/b", "../x"]
)
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


@pytest.mark.parametrize("name", ["v3", "latest", "2013-02-01", "a/b", "", "~1"])
def test_a_branch_is_not_named_like_a_version(name: str) -> None:
    with pytest.raises(InvalidReferenceError, match="cannot name a branch"):
        parse_ref_name(name)


def test_a_delta_is_better_while_it_is_small_and_little_is_dead() -> None:
    assert is_delta_better(rows=100, added=10, removed=10, held=100, dead=0)
    assert not is_delta_better(rows=100, added=60, removed=0, held=40, dead=0)
    assert not is_delta_better(rows=100, added=10, removed=10, held=100, dead=15)


def test_eight_small_parts_of_one_size_become_one() -> None:
    assert parts_to_merge([4_000_000, *[10] * 8]) == 8
    assert parts_to_merge([10] * 7) == 0
    assert parts_to_merge([100_000, *[10] * 7]) == 0
    assert parts_to_merge([3_000_000] * 8) == 0


def test_a_table_with_a_fifth_dead_needs_compaction() -> None:
    assert needs_compaction(held=100, dead=21)
    assert not needs_compaction(held=100, dead=20)
