"""Python iterators and lists of batches: of records, dicts of columns, Arrow batches, data frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from everloop.data.connectors.conforming import ConformingStream
from everloop.data.connectors.errors import UnsupportedSourceError
from everloop.data.connectors.protocol import naming_the_source
from everloop.data.connectors.values import columns_to_table, is_columns, records_to_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# Single records are gathered to pieces of this many.
_GATHERED_RECORDS = 16_384


def open_iterable(
    source: Iterable[Any], *, schema: pa.Schema | None = None, description: str = ""
) -> ConformingStream:
    """Open an iterator, a generator, or a list of batches.

    Each item is a record (a dict), a dict of columns (each value a list), a list of records, an Arrow batch or
    table, a pandas or Polars frame. Columns and types are those of the first items, or of `schema`; a later
    item may lack columns, which are missing then, and may not have others.

    Args:
        source: of items. An iterator is read once; a list or another collection may be read again.
        schema: the columns, when the first items do not show them.
        description: names the source in messages.
    """
    name = description or f"the {type(source).__name__}"
    is_iterator = isinstance(source, Iterator)
    return ConformingStream(name, lambda: _tables(source, name), is_repeatable=not is_iterator, schema=schema)


def _tables(source: Iterable[Any], description: str) -> Iterator[pa.Table]:
    records: list[Any] = []
    for number, item in enumerate(source, 1):
        is_record = isinstance(item, Mapping) and not is_columns(item)
        if is_record:
            records.append(item)
        if records and (not is_record or len(records) == _GATHERED_RECORDS):
            yield _table(records, f"{description}, before item {number}")
            records = []
        if not is_record:
            yield _table(item, f"{description}, item {number}")
    if records:
        yield _table(records, description)


def _table(item: object, place: str) -> pa.Table:
    with naming_the_source(place):
        return _to_table(item)


def _to_table(item: Any) -> pa.Table:  # noqa: ANN401 - what a user's iterator yields
    if isinstance(item, pa.Table):
        return item
    if isinstance(item, pa.RecordBatch):
        return pa.Table.from_batches([item])
    if isinstance(item, Mapping):
        return columns_to_table(item)
    if isinstance(item, list | tuple):
        return records_to_table(item)
    return _reader(item)(item)


def _reader(item: object) -> Callable[[Any], pa.Table]:
    from everloop.data.connectors.libraries import find_table_reader

    found = find_table_reader(item)
    if found is None:
        raise UnsupportedSourceError(
            f"a {type(item).__name__} is no batch of rows. Yield records (dicts), dicts of columns, lists of records, "
            "Arrow batches or data frames."
        )
    return found
