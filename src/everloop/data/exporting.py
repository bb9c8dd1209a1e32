"""Write the rows of a table to a file, a piece at a time; the file appears whole or not at all.

Tests: tests/unit/data/test_exporting.py.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from functools import partial
from typing import IO, TYPE_CHECKING, Any, cast

import msgspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from everloop.core.errors import InvalidInputError
from everloop.data.connectors.files import parse_name
from everloop.data.engine import quote, stream_query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from everloop.data.connectors.files import Compression
    from everloop.data.table import Table

    Put = Callable[[pa.Table], None]
    Open = Callable[[ExitStack, Path, pa.Schema], Put]

_TEXT = ("csv", "jsonl", "ndjson")


class UnsupportedTargetError(InvalidInputError):
    """The name of a file does not say a format that rows are written in, or its folder is missing."""

    code = "data.unsupported-target"


def export(table: Table, target: Path, *, columns: Sequence[str] | None = None, where: str = "") -> int:
    """Write rows to a file whose name says the format; return how many.

    Args:
        table: the rows.
        target: `.parquet`, `.arrow`, `.csv`, `.jsonl`; a text may be compressed, `.csv.gz`, `.jsonl.zst`.
        columns: only these, in this order; others are not read.
        where: a condition in SQL; only rows for which it is true.

    Raises:
        UnsupportedTargetError: the name says another format, or the folder is missing.
        QueryError: the condition is wrong, or a column is missing.
    """
    opening = _opener(target)
    hidden = target.with_name(f".{target.name}.{os.getpid()}.partial")
    rows = 0
    try:
        with ExitStack() as stack:
            put: Put | None = None
            for piece in _pieces(table, columns, where):
                put = put or opening(stack, hidden, piece.schema)
                put(piece)
                rows += piece.num_rows
        hidden.replace(target)
    finally:
        hidden.unlink(missing_ok=True)
    return rows


def _pieces(table: Table, columns: Sequence[str] | None, where: str) -> Iterator[pa.Table]:
    """Yield the rows; at least one piece, which may have none."""
    if not where and (columns is None or set(columns) <= set(table.column_names)):
        yield from table.batches(columns)
        return
    listed = "*" if columns is None else ", ".join(map(quote, columns))
    # A condition ends with a line of its own, so that a remark at its end hides nothing of ours.
    yield from stream_query(f"SELECT {listed} FROM this" + f" WHERE ({where}\n)" * bool(where), this=table)


def _opener(target: Path) -> Open:
    name = parse_name(target.name)
    openers: dict[str, Open] = {
        "parquet": _open_parquet,
        "pq": _open_parquet,
        "arrow": _open_arrow,
        "feather": _open_arrow,
        "csv": partial(_open_csv, compression=name.compression),
        "jsonl": partial(_open_lines, compression=name.compression),
        "ndjson": partial(_open_lines, compression=name.compression),
    }
    if name.format not in openers or (name.compression and name.format not in _TEXT):
        raise UnsupportedTargetError(
            f"{target} does not say a format that can be written. End it in .parquet, .arrow, .csv or .jsonl; texts also in "
            ".csv.gz or .jsonl.zst.",
            subject=str(target),
        )
    if not target.parent.is_dir():
        raise UnsupportedTargetError(
            f"{target} cannot be written, there is no folder {target.parent}. Make it first.",
            subject=str(target),
        )
    return openers[name.format]


def _open_parquet(stack: ExitStack, path: Path, schema: pa.Schema) -> Put:
    return stack.enter_context(pq.ParquetWriter(path, schema, compression="zstd")).write_table


def _open_arrow(stack: ExitStack, path: Path, schema: pa.Schema) -> Put:
    return stack.enter_context(pa.ipc.new_file(str(path), schema)).write_table


def _open_csv(stack: ExitStack, path: Path, schema: pa.Schema, *, compression: Compression) -> Put:
    stream = stack.enter_context(_open_stream(path, compression))
    return stack.enter_context(pyarrow.csv.CSVWriter(cast("IO[Any]", stream), schema)).write_table


def _open_lines(stack: ExitStack, path: Path, schema: pa.Schema, *, compression: Compression) -> Put:
    del schema
    stream = stack.enter_context(_open_stream(path, compression))
    encoder = msgspec.json.Encoder()

    def put(rows: pa.Table) -> None:
        for batch in rows.to_batches(max_chunksize=10_000):
            stream.write(encoder.encode_lines(batch.to_pylist()))

    return put


def _open_stream(path: Path, compression: Compression) -> pa.NativeFile:
    stream = pa.OSFile(str(path), "wb")
    return pa.CompressedOutputStream(stream, compression) if compression else stream
