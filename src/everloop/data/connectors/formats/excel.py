"""One sheet of an Excel or OpenDocument workbook; needs the extra `excel` (fastexcel, Rust's calamine with Arrow).

The first row of the sheet names the columns. Excel knows no whole numbers, so a column of numbers that are all
whole is one of integers here. Cells that show an error are missing. Tests:
tests/unit/data/connectors/formats/test_excel.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from everloop.core.errors import MissingExtraError
from everloop.data.connectors.errors import (
    EmptySourceError,
    MixedTypesError,
    UnknownOptionError,
    UnreadableSourceError,
)
from everloop.data.connectors.files import refuse_compressed, refuse_no_bytes
from everloop.data.connectors.protocol import PlainStream, cut, naming_the_source
from everloop.data.contents import refuse_bad_names

if TYPE_CHECKING:
    from everloop.data.connectors.files import SourceFile

# A float holds every whole number below this, and not all of those above.
_WHOLE = 1 << 53


def open_excel(file: SourceFile, *, sheet: str | int = 0) -> PlainStream:
    """Open a sheet of a workbook, by its name or by its place from 0; it is read at once.

    Raises:
        MissingExtraError: the extra `excel` is not installed.
        UnknownOptionError: there is no such sheet.
    """
    refuse_no_bytes(file)
    refuse_compressed(file)
    table = _read(file, sheet)
    return PlainStream(
        file.name, table.schema, lambda: cut(table), known_rows=table.num_rows, digest=file.digest
    )


def _read(file: SourceFile, sheet: str | int) -> pa.Table:
    fastexcel = _library(file)
    try:
        with file.local() as path:
            workbook = fastexcel.read_excel(path)
            names = _names(workbook, file, sheet)
            cells = workbook.load_sheet(
                sheet,
                header_row=None,
                skip_rows=1,
                column_names=names,
                schema_sample_rows=None,
                dtype_coercion="strict",
            )
            table = pa.Table.from_batches([pa.record_batch(cells)])
    except fastexcel.SheetNotFoundError as error:
        raise UnknownOptionError(
            f"{file.name} has no sheet {sheet!r}; it has {', '.join(workbook.sheet_names)}.",
            subject=file.name,
        ) from error
    except fastexcel.UnsupportedColumnTypeCombinationError as error:
        raise MixedTypesError(
            f"{file.name}: {_told(error)}. Give the column one type in the sheet.", subject=file.name
        ) from error
    except fastexcel.FastExcelError as error:
        raise UnreadableSourceError(
            f"{file.name} is not a whole workbook: {_told(error)}. Save it again.", subject=file.name
        ) from error
    return _with_integers(table)


def _library(file: SourceFile) -> Any:  # noqa: ANN401 - a module
    try:
        import fastexcel
    except ImportError as error:
        raise MissingExtraError(
            f'{file.name} is a workbook, whose reader is not installed. Run: pip install "everloop[excel]"',
            subject=file.name,
        ) from error
    return fastexcel


def _names(workbook: Any, file: SourceFile, sheet: str | int) -> list[str]:  # noqa: ANN401
    """Return the first row as it stands; the library would mend names that are missing or there twice."""
    head = workbook.load_sheet(sheet, header_row=None, n_rows=1, dtypes="string")
    if head.width == 0:
        raise EmptySourceError(
            f"the sheet {head.name} of {file.name} is empty. Name another with sheet=; there are {', '.join(workbook.sheet_names)}.",
            subject=file.name,
        )
    (row,) = pa.Table.from_batches([pa.record_batch(head)]).to_pylist()
    names = [value or "" for value in row.values()]
    with naming_the_source(f"{file.name}, sheet {head.name}"):
        refuse_bad_names(names)
    return names


def _with_integers(table: pa.Table) -> pa.Table:
    for index, field in enumerate(table.schema):
        column = table.column(index)
        if pa.types.is_floating(field.type) and _is_whole(column):
            table = table.set_column(index, field.name, column.cast(pa.int64()))
    return table


def _is_whole(column: Any) -> bool:  # noqa: ANN401 - an Arrow column
    fits = pc.and_(pc.equal(pc.floor(column), column), pc.less(pc.abs(column), pa.scalar(float(_WHOLE))))
    return column.null_count < len(column) and bool(pc.all(fits).as_py())


def _told(error: Exception) -> str:
    """Return what happened and where, of a message with a list of contexts."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and line.strip() != "Context:"]
    return "; ".join(line.split(": ", 1)[-1] if line[:1].isdigit() else line for line in lines)
