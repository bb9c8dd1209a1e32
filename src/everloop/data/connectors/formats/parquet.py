"""Parquet files, read in pieces; of a remote file only the bytes of the pieces that are read are fetched.

Tests: tests/unit/data/connectors/formats/test_parquet.py.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from everloop.data.connectors.errors import UnreadableSourceError
from everloop.data.connectors.files import refuse_compressed, refuse_no_bytes
from everloop.data.connectors.protocol import PIECE_ROWS, PlainStream

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from everloop.data.connectors.files import SourceFile

# A piece of wide rows (images, long text) stays near this.
_PIECE_BYTES = 64 << 20
# Column chunks are read through buffers of this size, so that one huge row group is never held whole.
_BUFFER_BYTES = 1 << 20


def open_parquet(file: SourceFile, *, columns: Sequence[str] | None = None) -> PlainStream:
    """Open a Parquet file.

    Args:
        file: to read.
        columns: the columns to read, in this order; all when not given. Others are not fetched.
    """
    refuse_no_bytes(file)
    refuse_compressed(file)
    with _naming(file), _opened(file) as opened:
        schema: pa.Schema = opened.schema_arrow
        rows, size = opened.metadata.num_rows, _unpacked_bytes(opened.metadata)
    chosen = None if columns is None else list(columns)
    piece = min(PIECE_ROWS, max(1, _PIECE_BYTES * rows // max(size, 1))) if rows else PIECE_ROWS

    def read() -> Iterator[pa.Table]:
        with _naming(file), _opened(file) as opened:
            for batch in opened.iter_batches(batch_size=piece, columns=chosen):
                table = pa.Table.from_batches([batch])
                yield table if chosen is None else table.select(chosen)

    return PlainStream(
        file.name,
        schema if chosen is None else pa.schema([_field(schema, name, file) for name in chosen]),
        read,
        known_rows=rows,
        digest=file.digest,
    )


@contextmanager
def _opened(file: SourceFile) -> Iterator[pq.ParquetFile]:
    with file.open() as stream, pq.ParquetFile(stream, buffer_size=_BUFFER_BYTES, pre_buffer=False) as opened:
        yield opened


@contextmanager
def _naming(file: SourceFile) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowInvalid, OSError) as error:
        raise UnreadableSourceError(
            f"{file.name} is not a whole Parquet file: {error}. Write it again, or fetch it again.",
            subject=file.name,
        ) from error


def _field(schema: pa.Schema, name: str, file: SourceFile) -> Any:  # noqa: ANN401 - an Arrow field
    if name not in schema.names:
        raise UnreadableSourceError(
            f"{file.name} has no column {name}; it has {', '.join(schema.names)}.", subject=file.name
        )
    return schema.field(name)


def _unpacked_bytes(metadata: pq.FileMetaData) -> int:
    return sum(metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))
