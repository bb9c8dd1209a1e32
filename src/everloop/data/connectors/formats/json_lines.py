"""JSON lines: one object a line, also gzipped, zstd or bz2. Objects inside become structs, arrays lists.

JSON says what is a number and what is text, so a column that holds both is refused, not made text. A field that
only later lines have is null before. Tests: tests/unit/data/connectors/formats/test_json_lines.py.
"""

from __future__ import annotations

import io
import json
import re
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.json

from everloop.data.connectors.blocks import count_lines, end_of_lines
from everloop.data.connectors.errors import EmptySourceError, MixedTypesError, UnreadableSourceError
from everloop.data.connectors.files import wrong_encoding
from everloop.data.connectors.inferred import InferredStream, MisfitError
from everloop.data.connectors.widening import wider_schema
from everloop.data.contents import UnsupportedTypeError

if TYPE_CHECKING:
    from everloop.data.connectors.blocks import Block
    from everloop.data.connectors.files import SourceFile

_MIXED = re.compile(r"Column\(/?(.*?)\) changed from (\w+) to (\w+) in row (\d+)")
_ROW = re.compile(r"in row (\d+)")


def open_json_lines(
    file: SourceFile, *, types: pa.Schema | None = None, encoding: str = "utf-8"
) -> InferredStream:
    """Open a file of one JSON object a line."""
    return InferredStream(_JsonLines(file, encoding), types=types)


class _JsonLines:
    """See `TextFormat`."""

    def __init__(self, file: SourceFile, encoding: str) -> None:
        self.file = file
        self.encoding = encoding

    def border(self, content: bytes) -> int:
        """Return where the last line ends."""
        return end_of_lines(content)

    def infer(self, block: Block, names: list[str]) -> pa.Table:
        """Parse a block with the types that it shows."""
        del names
        self._refuse_other_text(block)
        try:
            table = _read(block, pa.json.ParseOptions())
        except pa.ArrowInvalid as error:
            raise self._explained(block, error) from error
        for field in table.schema:
            _refuse_no_fields(field.type, f"{self.file.name}: column {field.name}")
        if table.num_columns == 0 and block.line == 1:
            raise EmptySourceError(f"{self.file.name} has no columns.", subject=self.file.name)
        return table

    def parse(self, block: Block, names: list[str], types: pa.Schema) -> pa.Table:
        """Parse a block with these columns."""
        del names
        self._refuse_other_text(block)
        try:
            return _read(
                block, pa.json.ParseOptions(explicit_schema=types, unexpected_field_behavior="error")
            )
        except pa.ArrowInvalid as error:
            raise MisfitError from error

    def widen(self, types: pa.Schema, found: pa.Schema, *, place: str) -> pa.Schema:
        """Return the columns of both; refuse a column without a common type."""
        return wider_schema(types, found, place=place)

    def force(self, types: pa.Schema, column: str) -> pa.Schema:
        """Refuse: no type holds what the lines have."""
        del column
        raise UnreadableSourceError(
            f"{self.file.name} cannot be read with the columns {', '.join(types.names)}. Give each column one type.",
            subject=self.file.name,
        )

    def _refuse_other_text(self, block: Block) -> None:
        try:
            block.content.decode()
        except UnicodeDecodeError as error:
            line = block.line + count_lines(block.content, error.start)
            raise wrong_encoding(self.file, "utf-8", line=line) from error
        if block.line == 1 and block.content.lstrip()[:1] == b"[":
            raise UnreadableSourceError(
                f"{self.file.name} holds a JSON array. Write one object a line, or load it and add the list.",
                subject=self.file.name,
            )

    def _explained(self, block: Block, error: pa.ArrowInvalid) -> Exception:
        mixed = _MIXED.search(str(error))
        if mixed and mixed[1]:
            line = block.line + _line_of(block.content, int(mixed[4]))
            return MixedTypesError(
                f"{self.file.name}, line {line}: {mixed[1].replace('/', '.')} is a {mixed[3]} where it was a {mixed[2]} "
                "before. Give the column one type in the source.",
                subject=self.file.name,
                details={"line": line, "column": mixed[1].replace("/", ".")},
            )
        row = _ROW.search(str(error))
        line = block.line + (_line_of(block.content, int(row[1])) if row else _first_bad_line(block.content))
        return UnreadableSourceError(
            f"{self.file.name}, line {line}, is no JSON object: {error}. Mend the line (often a cut-off export).",
            subject=self.file.name,
            details={"line": line},
        )


def _read(block: Block, parse: pa.json.ParseOptions) -> pa.Table:
    options = pa.json.ReadOptions(use_threads=False, block_size=len(block.content) + 1)
    return pa.json.read_json(io.BytesIO(block.content), read_options=options, parse_options=parse)


def _line_of(content: bytes, row: int) -> int:
    """Return how many lines come before the object number `row`; empty lines are no objects."""
    for number, line in enumerate(content.splitlines()):
        row -= bool(line.strip())
        if row < 0:
            return number
    return 0


def _first_bad_line(content: bytes) -> int:
    for number, line in enumerate(content.splitlines()):
        try:
            is_object = not line.strip() or isinstance(json.loads(line), dict)
        except ValueError:
            is_object = False
        if not is_object:
            return number
    return 0


def _refuse_no_fields(kind: Any, place: str) -> None:  # noqa: ANN401 - an Arrow type
    if pa.types.is_list(kind):
        _refuse_no_fields(kind.value_type, place)
    if not pa.types.is_struct(kind):
        return
    if kind.num_fields == 0:
        raise UnsupportedTypeError(
            f"{place} holds objects without fields, which no table can store. Leave the column out.",
            subject=place,
        )
    for field in kind:
        _refuse_no_fields(field.type, place)
