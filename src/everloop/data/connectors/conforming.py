"""Streams whose schema is what their first pieces show: iterators, lists of batches, query results."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from everloop.data.connectors.errors import EmptySourceError
from everloop.data.connectors.inferred import widened
from everloop.data.connectors.protocol import consumed, cut, naming_the_source
from everloop.data.connectors.widening import (
    convert,
    fit,
    has_nulls,
    wider_schema,
    wider_type,
    without_nulls,
)
from everloop.data.contents import normalise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

# Pieces looked at ahead of reading while a column has shown nothing but missing values.
_PEEK_PIECES = 64


class ConformingStream:
    """Pieces brought to one schema; see `SourceStream`.

    Args:
        description: names the source in messages.
        start: begins a reading; yields tables of any schema.
        is_repeatable: whether `start` gives the same rows again; then a piece that does not fit widens the
            schema, else it is refused.
        schema: of the rows where the caller knows it; then nothing is read ahead and nothing widens: values are
            converted, or refused when that would lose something.
        known_rows: where known.
    """

    source_digest = ""

    def __init__(
        self,
        description: str,
        start: Callable[[], Iterator[pa.Table]],
        *,
        is_repeatable: bool,
        schema: pa.Schema | None = None,
        known_rows: int | None = None,
    ) -> None:
        self.description = description
        self.known_rows = known_rows
        self._start = start
        self._is_repeatable = is_repeatable
        self._is_read = False
        self._fit = fit if schema is None else convert
        self._widens = is_repeatable and schema is None
        self._peeked: list[pa.Table] = []
        self._rest: Iterator[pa.Table] | None = start()
        self._types: pa.Schema = schema if schema is not None else self._peek(self._rest)

    @property
    def schema(self) -> pa.Schema:
        """Return the columns as far as they are known."""
        with naming_the_source(self.description):
            return normalise(without_nulls(self._types).empty_table()).schema

    def batches(self) -> Iterator[pa.Table]:
        """Yield the rows."""
        types = without_nulls(self._types)
        for number, table in enumerate(self._tables(), 1):
            place = f"{self.description}, piece {number}"
            if self._widens and not _holds(types, table.schema):
                self._types = self._survey(place, table)
                raise widened(self.description)
            yield from cut(normalise(self._fit(table, types, place=place)))

    def _peek(self, tables: Iterator[pa.Table]) -> pa.Schema:
        types: pa.Schema | None = None
        for table in tables:
            self._peeked.append(table)
            place = f"{self.description}, piece {len(self._peeked)}"
            types = table.schema if types is None else wider_schema(types, table.schema, place=place)
            if not has_nulls(types) or len(self._peeked) == _PEEK_PIECES:
                break
        if types is None:
            raise EmptySourceError(
                f"{self.description} has no rows, so there is nothing to add. Check what makes it.",
                subject=self.description,
            )
        return types

    def _tables(self) -> Iterator[pa.Table]:
        if self._is_read and not self._is_repeatable:
            raise consumed(self.description)
        self._is_read = True
        peeked, self._peeked = self._peeked, []
        rest, self._rest = self._rest, None
        return self._start() if rest is None else chain(peeked, rest)

    def _survey(self, place: str, table: pa.Table) -> pa.Schema:
        """Return types that hold the piece that did not fit, and all pieces of a new reading."""
        types = wider_schema(self._types, table.schema, place=place)
        for number, piece in enumerate(self._start(), 1):
            types = wider_schema(types, piece.schema, place=f"{self.description}, piece {number}")
        return types


def _holds(types: pa.Schema, found: pa.Schema) -> bool:
    """Return whether every column found is one of `types` and fits it."""
    return all(
        field.name in types.names
        and wider_type(field.type, types.field(field.name).type) == types.field(field.name).type
        for field in found
    )
