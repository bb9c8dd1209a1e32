"""What a run is given becomes what its parameters say, or an error that names the parameter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from everloop.data.service import Data
from everloop.data.table import Table
from everloop.pipelines import File, pipeline
from everloop.pipelines.inputs import (
    InvalidPipelineInputError,
    PathInputWarning,
    check_names,
    convert_value,
    kind_of,
    warn_of_path,
)
from everloop.pipelines.resolution import resolve
from everloop.pipelines.store import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from everloop.kernel.operations import Kernel


@pipeline
def flow(rows: Table, file: File, trees: int = 80, note: str | None = None) -> tuple[object, ...]:
    return rows, file, trees, note


def test_annotations_say_how_an_input_is_read() -> None:
    assert [kind_of(hint) for hint in (Table, File, int, None)] == ["table", "file", "value", "value"]


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        ("80", int, 80),
        ("0.5", float, 0.5),
        ("true", bool, True),
        ([1, 2], list[int], [1, 2]),
        ("x", None, "x"),
        (3, Any, 3),
    ],
)
def test_text_of_the_command_line_becomes_the_declared_type(
    value: object, hint: object, expected: object
) -> None:
    assert convert_value("x", value, hint) == expected


def test_a_value_of_another_type_is_refused_with_its_name_and_path() -> None:
    with pytest.raises(InvalidPipelineInputError, match="the input trees: Expected `int`") as caught:
        convert_value("trees", "many", int)

    assert caught.value.path == "$.trees"


def test_names_are_checked_all_at_once() -> None:
    with pytest.raises(
        InvalidPipelineInputError, match="has no input z and needs the input x. Its inputs are: x, y"
    ):
        check_names({"z": 1}, {"x": False, "y": True}, "flow")


def test_only_a_text_that_names_an_existing_file_is_warned_about(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a")

    warn_of_path("x", "no/such.csv")
    warn_of_path("x", "two\nlines.csv")
    with pytest.warns(PathInputWarning):
        warn_of_path("x", str(tmp_path / "rows.csv"))


def test_a_reference_becomes_the_version_that_it_names_now(kernel: Kernel, tmp_path: Path) -> None:
    data = Data(kernel)
    data.add("flights", pa.table({"a": [1]}))
    data.add("flights", pa.table({"a": [1, 2]}))
    (tmp_path / "f").write_text("text")

    found = resolve(
        flow,
        {"rows": "flights", "file": str(tmp_path / "f"), "trees": "9"},
        reader=data,
        store=open_store(kernel),
    )

    assert [item.ref for item in found.datasets] == ["flights@v2"]
    assert {name: item.codec for name, item in found.artifacts.items()} == {
        "rows": "table",
        "file": "file",
        "trees": "json",
        "note": "json",
    }
    assert found.params == {"trees": 9, "note": None}
