"""Every table is brought to one form, and names that SQL could not tell apart are refused."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest

from everloop.data.contents import DuplicateColumnError, UnnamedColumnError, normalise

NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("wide", "plain"),
    [
        (pa.array(["x", "y", "x"]).dictionary_encode(), pa.array(["x", "y", "x"])),
        (pa.array(["x", None], pa.large_string()), pa.array(["x", None], pa.string())),
        (
            pa.array([NOON], pa.timestamp("ns", "America/New_York")),
            pa.array([NOON], pa.timestamp("us", "UTC")),
        ),
        (
            pa.array([NOON.replace(tzinfo=None)], pa.timestamp("ms")),
            pa.array([NOON], pa.timestamp("us", "UTC")),
        ),
        (pa.array([date(2013, 1, 1)], pa.date64()), pa.array([date(2013, 1, 1)], pa.date32())),
        (pa.array([None, None], pa.null()), pa.array([None, None], pa.string())),
        (pa.array([[1]], pa.large_list(pa.int64())), pa.array([[1]], pa.list_(pa.int64()))),
    ],
)
def test_layouts_of_the_same_values_become_one(wide: Any, plain: Any) -> None:
    assert normalise(pa.table({"a": wide})) == pa.table({"a": plain})


@pytest.mark.parametrize("names", [["a", "a"], ["Dest", "dest"]])
def test_names_that_sql_could_not_tell_apart_are_refused(names: list[str]) -> None:
    with pytest.raises(DuplicateColumnError, match="must be unique"):
        normalise(pa.Table.from_arrays([pa.array([1])] * 2, names=names))


def test_a_column_without_a_name_is_refused() -> None:
    with pytest.raises(UnnamedColumnError):
        normalise(pa.Table.from_arrays([pa.array([1])], names=[" "]))
