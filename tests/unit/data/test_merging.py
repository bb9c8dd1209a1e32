"""A merge takes what one side changed, row by row, and says where both changed the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from everloop.data.merging import MergeConflictError, MergeSchemaError

if TYPE_CHECKING:
    from everloop.data.service import Data


def rows(data: Data, ref: str) -> dict[int, str]:
    found = data.read(ref).to_arrow().to_pydict()
    return dict(zip(found["k"], found["v"], strict=True))


def table(**values: str) -> dict[str, list[object]]:
    return {"k": [int(name[1:]) for name in values], "v": list(values.values())}


@pytest.fixture
def two_lines(data: Data) -> Data:
    data.add("t", table(k1="a", k2="b", k3="c", k4="d"), keys=["k"])
    data.branch("t", "other")
    return data


def test_changes_of_different_rows_come_together(two_lines: Data) -> None:
    two_lines.add("t", table(k1="A", k5="e"), mode="upsert")
    two_lines.add("t", table(k2="B", k6="f"), mode="upsert", branch="other")
    two_lines.remove("t", "k = 3", branch="other")

    found = two_lines.merge("t", "other")

    assert rows(two_lines, "t") == {1: "A", 2: "B", 4: "d", 5: "e", 6: "f"}
    assert (found.changed, found.removed, found.conflicts, found.base) == (2, 1, 0, "t@v1")
    assert (found.version.parent, found.version.merged, found.version.operation) == (2, 4, "merge")
    assert two_lines.merge("t", "other").version.is_unchanged


def test_a_row_changed_alike_on_both_sides_is_no_conflict(two_lines: Data) -> None:
    for branch in ("main", "other"):
        two_lines.add("t", table(k1="A"), mode="upsert", branch=branch)
        two_lines.remove("t", "k = 2", branch=branch)

    assert two_lines.merge("t", "other").version.is_unchanged
    assert rows(two_lines, "t") == {1: "A", 3: "c", 4: "d"}


def test_a_conflict_is_refused_with_its_rows_and_resolved_by_a_preference(two_lines: Data) -> None:
    two_lines.add("t", table(k1="ours"), mode="upsert")
    two_lines.add("t", table(k1="theirs", k2="B"), mode="upsert", branch="other")
    two_lines.remove("t", "k = 4")
    two_lines.add("t", table(k4="D"), mode="upsert", branch="other")

    with pytest.raises(MergeConflictError, match="changed 2 rows in different ways") as caught:
        two_lines.merge("t", "other")
    sample = sorted(caught.value.details["sample"], key=lambda one: one["key"]["k"])
    assert sample == [
        {"key": {"k": 1}, "ours": {"v": "ours"}, "theirs": {"v": "theirs"}},
        {"key": {"k": 4}, "ours": None, "theirs": {"v": "D"}},
    ]
    assert two_lines.version("t").version == 4

    two_lines.branch("t", "kept")
    two_lines.merge("t", "other", into="kept", prefer="ours")
    assert rows(two_lines, "t@kept") == {1: "ours", 2: "B", 3: "c"}
    two_lines.merge("t", "other", prefer="theirs")
    assert rows(two_lines, "t") == {1: "theirs", 2: "B", 3: "c", 4: "D"}


def test_rows_without_keys_are_merged_as_often_as_they_are_there(data: Data) -> None:
    data.add("t", {"a": [1, 1, 2, 3]})
    data.branch("t", "other")
    data.add("t", {"a": [1, 2, 3, 9]})
    data.add("t", {"a": [1, 1, 3, 3, 9]}, branch="other")

    data.merge("t", "other")

    # ours: one 1 less, a 9; theirs: no 2, one 3 more, the same 9
    assert sorted(data.read("t").to_arrow().column("a").to_numpy().tolist()) == [1, 3, 3, 9]


def test_sides_with_other_columns_are_refused(two_lines: Data) -> None:
    two_lines.add("t", {"k": [1], "v": [1]}, branch="other")

    with pytest.raises(MergeSchemaError, match="common ancestor t@v1"):
        two_lines.merge("t", "other")


def test_after_a_merge_main_may_be_published_and_the_base_moves_on(two_lines: Data) -> None:
    two_lines.add("t", table(k1="A"), mode="upsert")
    two_lines.add("t", table(k2="B"), mode="upsert", branch="other")
    two_lines.merge("t", "main", into="other")

    assert two_lines.merge_base("t", "main", "other").version == 2
    assert two_lines.publish("t", branch="other").version == 4
    assert rows(two_lines, "t") == {1: "A", 2: "B", 3: "c", 4: "d"}
