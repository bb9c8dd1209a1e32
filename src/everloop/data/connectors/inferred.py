"""Text formats, whose types are taken from the first block and widened when a later value does not fit.

A format states how a block is parsed (`TextFormat`); this file reads with it. Only the first misfit costs a
survey of the whole source, which finds the final types of all columns at once; then the source is read again.
Tests: tests/unit/data/connectors/formats.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from everloop.data.connectors.blocks import EndlessRecordError, cut_blocks, work_in_order
from everloop.data.connectors.errors import EmptySourceError, SchemaWidenedError, UnreadableSourceError
from everloop.data.connectors.files import open_text, reading, refuse_no_bytes, wrong_encoding
from everloop.data.connectors.protocol import cut, naming_the_source
from everloop.data.connectors.widening import without_nulls
from everloop.data.contents import normalise, refuse_bad_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from everloop.data.connectors.blocks import Block
    from everloop.data.connectors.files import SourceFile


class MisfitError(Exception):
    """A value does not fit its column; `column` is empty where the parser does not name it."""

    def __init__(self, column: str = "") -> None:
        super().__init__(column)
        self.column = column


class TextFormat(Protocol):
    """How one file of a text format is parsed. Threads share it; it keeps no state of a reading."""

    file: SourceFile
    encoding: str

    def border(self, content: bytes) -> int:
        """Return where the last whole record ends, 0 when none does."""
        ...

    def infer(self, block: Block, names: list[str]) -> pa.Table:
        """Parse a block with the types that its own values show; without names it begins with the header."""
        ...

    def parse(self, block: Block, names: list[str], types: pa.Schema) -> pa.Table:
        """Parse a block with the columns and types given; raise `MisfitError` when a value does not fit."""
        ...

    def widen(self, types: pa.Schema, found: pa.Schema, *, place: str) -> pa.Schema:
        """Return columns and types that hold both, or raise an error of ours."""
        ...

    def force(self, types: pa.Schema, column: str) -> pa.Schema:
        """Return the widest type for a column whose misfit no survey explains, or raise an error of ours."""
        ...


class InferredStream:
    """The rows of one text file; see `SourceStream`.

    Args:
        form: the file and how it is parsed.
        types: of an earlier file of the same folder; widened by what this one holds.
    """

    known_rows = None

    def __init__(self, form: TextFormat, *, types: pa.Schema | None = None) -> None:
        refuse_no_bytes(form.file)
        self.description = form.file.name
        self._form = form
        head, blocks = self._open()
        table = form.infer(head, [])
        try:
            self._names = table.column_names
        except UnicodeDecodeError as error:
            raise wrong_encoding(form.file, "utf-8", line=1) from error
        with naming_the_source(self.description):
            refuse_bad_names(self._names)
        self.types = (
            table.schema if types is None else form.widen(types, table.schema, place=self.description)
        )
        if types is not None:
            table = form.parse(head, self._names, self.types)
        self._started: tuple[pa.Table, Iterator[Block]] | None = table, blocks

    @property
    def schema(self) -> pa.Schema:
        """Return the columns as far as they are known."""
        return normalise(without_nulls(self.types).empty_table()).schema

    @property
    def source_digest(self) -> str:
        """Return the digest of the file's bytes."""
        return self._form.file.digest()

    def batches(self) -> Iterator[pa.Table]:
        """Yield the rows; see `SourceStream` for what happens when a value does not fit."""
        types = self.types
        settled = without_nulls(types)
        try:
            for table in self._tables(types):
                yield from cut(normalise(table.cast(settled)))
        except MisfitError as misfit:
            self._widen(types, misfit.column)
            raise widened(self.description) from misfit

    def survey(self) -> pa.Schema:
        """Read the whole file for the types of its columns."""
        head, blocks = self._open()
        found = self._form.widen(self.types, self._form.infer(head, []).schema, place=self.description)
        for block, schema in work_in_order(blocks, self._schema):
            found = self._form.widen(found, schema, place=f"{self.description}, from line {block.line} on")
        return found

    def _tables(self, types: pa.Schema) -> Iterator[pa.Table]:
        started, self._started = self._started, None
        if started is None:
            head, blocks = self._open()
            table = self._form.parse(head, self._names, types)
        else:
            table, blocks = started
        yield table
        yield from work_in_order(blocks, lambda block: self._form.parse(block, self._names, types))

    def _widen(self, before: pa.Schema, column: str) -> None:
        self.types = self.survey()
        if self.types == before:
            self.types = self._form.force(self.types, column)

    def _schema(self, block: Block) -> tuple[Block, pa.Schema]:
        return block, self._form.infer(block, self._names).schema

    def _open(self) -> tuple[Block, Iterator[Block]]:
        blocks = self._blocks()
        head = next(blocks, None)
        if head is None:
            raise EmptySourceError(
                f"{self.description} holds nothing but a byte order mark.", subject=self.description
            )
        return head, blocks

    def _blocks(self) -> Iterator[Block]:
        file = self._form.file
        with reading(file):
            try:
                yield from cut_blocks(open_text(file, self._form.encoding), self._form.border)
            except EndlessRecordError as error:
                raise UnreadableSourceError(
                    f"{file.name}: {error}. Often a quote that is never closed, or a file that is no text. Mend it.",
                    subject=file.name,
                    details={"line": error.line},
                ) from error


def widened(description: str) -> SchemaWidenedError:
    """Return the signal that a stream is to be read again."""
    return SchemaWidenedError(
        f"a value in {description} did not fit the type of its column, which is wider now. Read the source again.",
        subject=description,
    )
