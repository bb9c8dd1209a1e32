"""A sheet becomes a table; what a sheet may hold and a table may not is refused."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
import xlsxwriter

from everloop.core.errors import MissingExtraError
from everloop.data.connectors import (
    EmptySourceError,
    MixedTypesError,
    UnknownOptionError,
    UnreadableSourceError,
    open_source,
    to_arrow,
)
from everloop.data.contents import DuplicateColumnError, UnnamedColumnError

if TYPE_CHECKING:
    from pathlib import Path


def write(folder: Path, **sheets: list[list[Any]]) -> Path:
    path = folder / "book.xlsx"
    with xlsxwriter.Workbook(path, {"default_date_format": "yyyy-mm-dd"}) as book:
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            for number, row in enumerate(rows):
                sheet.write_row(number, 0, row)
    return path


def test_a_sheet_is_read_with_its_types(tmp_path: Path) -> None:
    day = datetime(2013, 1, 1)  # noqa: DTZ001 - a workbook knows no zones
    path = write(
        tmp_path,
        Rows=[["id", "x", "city", "day", "late"], [1, 1.5, "Bern", day, True], [2, 2, None, day, False]],
    )

    rows = to_arrow(path)

    assert [str(kind) for kind in rows.schema.types] == [
        "int64",
        "double",
        "string",
        "timestamp[us, tz=UTC]",
        "bool",
    ]
    assert rows.to_pylist()[1] == {
        "id": 2,
        "x": 2.0,
        "city": None,
        "day": datetime(2013, 1, 1, tzinfo=UTC),
        "late": False,
    }
    assert open_source(path).known_rows == 2


def test_a_sheet_is_named_or_counted(tmp_path: Path) -> None:
    path = write(tmp_path, One=[["a"], [1]], Two=[["b"], [2]])

    assert to_arrow(path).column_names == ["a"]
    assert to_arrow(path, sheet="Two").column_names == ["b"]
    assert to_arrow(path, sheet=1).column_names == ["b"]
    with pytest.raises(UnknownOptionError, match="no sheet 'Three'; it has One, Two"):
        to_arrow(path, sheet="Three")


def test_mixed_types_in_a_column_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(MixedTypesError, match=r"book\.xlsx.*column b"):
        to_arrow(write(tmp_path, Rows=[["a", "b"], [1, 1], [2, "x"]]))


@pytest.mark.parametrize(
    ("header", "error"), [(["a", "A"], DuplicateColumnError), (["a", None, "c"], UnnamedColumnError)]
)
def test_names_that_are_missing_or_there_twice_are_refused(
    tmp_path: Path, header: list[Any], error: type[Exception]
) -> None:
    with pytest.raises(error, match=r"book\.xlsx, sheet Rows"):
        to_arrow(write(tmp_path, Rows=[header, [1] * len(header)]))


def test_an_empty_sheet_is_refused_with_the_names_of_the_others(tmp_path: Path) -> None:
    with pytest.raises(EmptySourceError, match="there are Empty, Rows"):
        to_arrow(write(tmp_path, Empty=[], Rows=[["a"], [1]]))


def test_a_header_without_rows_has_columns_and_no_rows(tmp_path: Path) -> None:
    rows = to_arrow(write(tmp_path, Rows=[["a", "b"]]))

    assert (rows.column_names, rows.num_rows) == (["a", "b"], 0)


def test_a_large_number_stays_a_float(tmp_path: Path) -> None:
    rows = to_arrow(write(tmp_path, Rows=[["a"], [1e300]]))

    assert rows.schema.types == [pa.float64()]


def test_a_file_that_is_no_workbook_is_refused(tmp_path: Path) -> None:
    (tmp_path / "book.xlsx").write_bytes(b"PK and no more")

    with pytest.raises(UnreadableSourceError, match="not a whole workbook"):
        to_arrow(tmp_path / "book.xlsx")


def test_without_the_extra_the_command_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fastexcel", None)

    with pytest.raises(MissingExtraError, match=r'pip install "everloop\[excel\]"'):
        to_arrow(write(tmp_path, Rows=[["a"], [1]]))
