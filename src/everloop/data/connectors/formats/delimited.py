"""CSV and TSV files, also gzipped, zstd or bz2.

Empty fields are missing; marks like NA are missing numbers and kept text, because NA is also a country. Numbers
that do not stay numbers become text, as they are written in the file. Tests:
tests/unit/data/connectors/formats/test_delimited.py.
"""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from everloop.data.connectors.blocks import count_lines, end_of_records, unfinished_record
from everloop.data.connectors.errors import (
    EmptySourceError,
    RaggedRowError,
    SchemaDiffersError,
    UnreadableSourceError,
)
from everloop.data.connectors.files import wrong_encoding
from everloop.data.connectors.inferred import InferredStream, MisfitError
from everloop.data.connectors.widening import wider_type

if TYPE_CHECKING:
    from everloop.data.connectors.blocks import Block
    from everloop.data.connectors.files import SourceFile

_MISSING = ["", "NA", "N/A", "#N/A", "NaN", "nan", "null", "NULL", "None"]
_COLUMN_FAULT = re.compile(r"In CSV column #(\d+): (.*)", re.DOTALL)
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def open_csv(
    file: SourceFile, *, types: pa.Schema | None = None, separator: str = ",", encoding: str = "utf-8"
) -> InferredStream:
    """Open a CSV file; its first line names the columns."""
    return InferredStream(_Delimited(file, separator, encoding), types=types)


def open_tsv(
    file: SourceFile, *, types: pa.Schema | None = None, separator: str = "\t", encoding: str = "utf-8"
) -> InferredStream:
    """Open a file whose columns are separated by tabs."""
    return open_csv(file, types=types, separator=separator, encoding=encoding)


class _Delimited:
    """See `TextFormat`."""

    def __init__(self, file: SourceFile, separator: str, encoding: str) -> None:
        self.file = file
        self.encoding = encoding
        self._separator = separator
        self._mark = separator.encode()

    def border(self, content: bytes) -> int:
        """Return where the last whole record ends."""
        return end_of_records(content, self._mark)

    def infer(self, block: Block, names: list[str]) -> pa.Table:
        """Parse a block with the types that it shows."""
        if block.line == 1 and block.content.startswith(_UTF16):
            raise wrong_encoding(self.file, self.encoding)
        try:
            table = self._read(block, names, {})
        except (pa.ArrowInvalid, UnicodeDecodeError) as error:
            raise self._explained(block, names, error) from error
        if any(pa.types.is_binary(field.type) for field in table.schema):
            raise self._wrong_encoding(block)
        return table

    def parse(self, block: Block, names: list[str], types: pa.Schema) -> pa.Table:
        """Parse a block with these types."""
        try:
            return self._read(block, names, {field.name: field.type for field in types}).select(types.names)
        except pa.ArrowInvalid as error:
            fault = _COLUMN_FAULT.search(str(error))
            if fault and "invalid UTF8" not in fault[2]:
                raise MisfitError(names[int(fault[1])]) from error
            raise self._explained(block, names, error) from error

    def widen(self, types: pa.Schema, found: pa.Schema, *, place: str) -> pa.Schema:
        """Return types that hold both; what has no common type is text."""
        differ = [
            name for name in [*types.names, *found.names] if not (name in types.names and name in found.names)
        ]
        if differ:
            raise SchemaDiffersError(
                f"{place} and the files before do not both have the column {differ[0]}. Give each the same columns.",
                subject=place,
                details={"columns": differ},
            )
        return pa.schema(
            [
                (field.name, wider_type(field.type, found.field(field.name).type) or pa.string())
                for field in types
            ]
        )

    def force(self, types: pa.Schema, column: str) -> pa.Schema:
        """Make the column text."""
        return pa.schema(
            [(field.name, pa.string() if field.name == column else field.type) for field in types]
        )

    def _read(self, block: Block, names: list[str], types: dict[str, Any]) -> pa.Table:
        if block.is_last:
            self._refuse_open_quote(block)
        has_header = block.line == 1
        table = pa.csv.read_csv(
            io.BytesIO(block.content),
            read_options=pa.csv.ReadOptions(
                use_threads=False,
                block_size=len(block.content) + 1,
                column_names=None if has_header else names,
            ),
            parse_options=pa.csv.ParseOptions(delimiter=self._separator, newlines_in_values=True),
            convert_options=pa.csv.ConvertOptions(
                column_types=types, null_values=_MISSING, strings_can_be_null=False
            ),
        )
        return _empty_text_is_missing(table)

    def _refuse_open_quote(self, block: Block) -> None:
        start = unfinished_record(block.content, self._mark)
        if start is not None:
            line = block.line + count_lines(block.content, start)
            raise UnreadableSourceError(
                f"{self.file.name}, line {line}: a quote that opens here is never closed. "
                "The file was cut off, or a quote is missing; mend it.",
                subject=self.file.name,
                details={"line": line},
            )

    def _explained(self, block: Block, names: list[str], error: Exception) -> Exception:
        """Read the block once more, slowly, to find the line at fault."""
        try:
            text = block.content.decode()
        except UnicodeDecodeError:
            return self._wrong_encoding(block)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=self._separator)
        width = len(names)
        for row in reader:
            width = width or len(row)
            if row and len(row) != width:
                return _ragged(self.file.name, block.line - 1 + reader.line_num, len(row), width)
        if not width:
            return EmptySourceError(
                f"{self.file.name} has no header line. Its first line must name the columns.",
                subject=self.file.name,
            )
        return UnreadableSourceError(
            f"{self.file.name} cannot be read as CSV: {error}. Mend it and add it again.",
            subject=self.file.name,
        )

    def _wrong_encoding(self, block: Block) -> Exception:
        try:
            block.content.decode()
        except UnicodeDecodeError as error:
            line = block.line + count_lines(block.content, error.start)
            return wrong_encoding(self.file, "utf-8", line=line)
        return wrong_encoding(self.file, "utf-8")


def _ragged(name: str, line: int, fields: int, expected: int) -> RaggedRowError:
    return RaggedRowError(
        f"{name}, line {line}: {fields} fields where the header has {expected}. "
        "Mend the line (often an unquoted separator or a cut-off export), then add the file again.",
        subject=name,
        details={"line": line, "fields": fields, "expected": expected},
    )


def _empty_text_is_missing(table: pa.Table) -> pa.Table:
    for index, field in enumerate(table.schema):
        if not pa.types.is_string(field.type):
            continue
        column = table.column(index)
        is_empty = pc.equal(column, pa.scalar(""))
        if pc.any(is_empty).as_py():
            table = table.set_column(index, field.name, pc.if_else(is_empty, None, column))
    return table
