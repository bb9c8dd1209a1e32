"""Arrow readers, and objects of any library that offer Arrow's stream interface."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from everloop.data.connectors.protocol import PlainStream

if TYPE_CHECKING:
    from collections.abc import Iterator


def open_object(source: Any, *, description: str = "") -> PlainStream:  # noqa: ANN401 - any class with `__arrow_c_stream__`
    """Open a table, batch, reader, or an object with `__arrow_c_stream__`; a reader is read once."""
    name = description or f"the {type(source).__name__}"
    if isinstance(source, pa.RecordBatch):
        source = pa.Table.from_batches([source])
    if isinstance(source, pa.Table):
        return PlainStream(name, source.schema, lambda: [source], known_rows=source.num_rows)
    is_reader = isinstance(source, pa.RecordBatchReader)
    reader = source if is_reader else pa.RecordBatchReader.from_stream(source)

    def read() -> Iterator[pa.Table]:
        again = reader if is_reader else pa.RecordBatchReader.from_stream(source)
        for batch in again:
            yield pa.Table.from_batches([batch])

    return PlainStream(name, reader.schema, read, is_repeatable=not is_reader)
