"""Polars frames; a lazy one is computed in pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from everloop.data.connectors.errors import UnreadableSourceError, UnsupportedSourceError
from everloop.data.connectors.protocol import PIECE_ROWS, PlainStream
from everloop.data.contents import refuse_bad_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa


def open_object(frame: Any) -> PlainStream:  # noqa: ANN401 - Polars is imported by whoever made the frame
    """Open a frame, or a lazy frame, which is computed again with each reading."""
    if hasattr(frame, "collect_batches"):
        return _open_lazy(frame)
    table = to_table(frame)
    return PlainStream("the Polars frame", table.schema, lambda: [table], known_rows=table.num_rows)


def to_table(frame: Any) -> pa.Table:  # noqa: ANN401 - as above
    """Return the Arrow table of a frame."""
    frame = frame.collect() if hasattr(frame, "collect") else frame
    if not hasattr(frame, "columns"):
        raise UnsupportedSourceError(f"a Polars {type(frame).__name__} is no table. Use .to_frame().")
    refuse_bad_names(frame.columns)
    table: pa.Table = frame.to_arrow()
    return table


def _open_lazy(frame: Any) -> PlainStream:  # noqa: ANN401
    import polars as pl

    try:
        schema = frame.collect_schema()
    except pl.exceptions.PolarsError as error:
        raise _failed(error) from error

    def read() -> Iterator[pa.Table]:
        try:
            for piece in frame.collect_batches(chunk_size=PIECE_ROWS, maintain_order=True, lazy=True):
                yield piece.to_arrow()
        except pl.exceptions.PolarsError as error:
            raise _failed(error) from error

    return PlainStream("the Polars lazy frame", pl.DataFrame(schema=schema).to_arrow().schema, read)


def _failed(error: Exception) -> UnreadableSourceError:
    return UnreadableSourceError(
        f"the Polars lazy frame cannot be computed: {error}. Mend the query, then add it again."
    )
