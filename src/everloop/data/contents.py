"""The form every table is brought to, and the digest of its logical content.

The digest is taken over fixed chunks of rows by position, each in one canonical layout, so that it depends on
columns, types and rows in order, and on nothing else: not on parts, Arrow chunking, dictionary encoding or
the bytes beneath nulls. An append needs only the rows of the parent's last, unfilled chunk. Tests:
tests/property/test_data.py, tests/unit/data/test_contents.py.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from blake3 import blake3

from everloop.core.digests import Digest, digest_value
from everloop.core.errors import InvalidInputError
from everloop.data.records import Column

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

CHUNK_ROWS = 65_536
UTC_TIME = pa.timestamp("us", tz="UTC")


class DuplicateColumnError(InvalidInputError):
    """Two columns have the same name."""

    code = "data.duplicate-column"


class UnnamedColumnError(InvalidInputError):
    """A column has no name."""

    code = "data.unnamed-column"


class UnsupportedTypeError(InvalidInputError):
    """A column has a type that cannot be stored."""

    code = "data.unsupported-type"


def normalise(table: pa.Table) -> pa.Table:
    """Return the table with plain text and UTC microseconds, without metadata.

    Dictionaries become their values, wide and view layouts become narrow ones, times become UTC microseconds
    (a time without zone is taken as UTC), a column of nulls becomes text.

    Raises:
        DuplicateColumnError: names differ by case only, or not at all; SQL could not tell them apart.
        UnnamedColumnError, UnsupportedTypeError: as named.
    """
    refuse_bad_names(table.column_names)
    columns = [_cast(name, column) for name, column in zip(table.column_names, table.columns, strict=True)]
    fields = [pa.field(name, column.type) for name, column in zip(table.column_names, columns, strict=True)]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def refuse_bad_names(names: Sequence[str]) -> None:
    """Refuse names that are empty or not unique."""
    twice = sorted(name for name, count in Counter(name.lower() for name in names).items() if count > 1)
    if twice:
        found = [name for name in names if name.lower() in twice]
        raise DuplicateColumnError(
            f"column names must be unique, also without regard to case; these are not: {', '.join(found)}. "
            "Rename them in the source.",
            details={"columns": found},
        )
    if any(not name.strip() for name in names):
        raise UnnamedColumnError(
            "a column has no name. Name it in the source, for example in the header line."
        )


def columns_of(table: pa.Table) -> list[Column]:
    """Return names and types."""
    return [Column(name=field.name, type=str(field.type)) for field in table.schema]


def chunk_digests(tables: Iterable[pa.Table]) -> list[str]:
    """Return the digest of each chunk of the concatenated rows."""
    found: list[str] = []
    pending: pa.Table | None = None
    for table in tables:
        pending = table if pending is None else pa.concat_tables([pending, table])
        while pending.num_rows >= CHUNK_ROWS:
            found.append(_chunk_digest(pending.slice(0, CHUNK_ROWS)))
            pending = pending.slice(CHUNK_ROWS)
    if pending is not None and pending.num_rows:
        found.append(_chunk_digest(pending))
    return found


def content_digest(columns: Sequence[Column], chunks: Sequence[str], rows: int) -> Digest:
    """Return the digest of a table from its chunks' digests."""
    return digest_value(["table/1", [[column.name, column.type] for column in columns], rows, list(chunks)])


def _cast(name: str, column: Any) -> Any:  # noqa: ANN401 - an Arrow column of any type
    kind = _plain_type(column.type)
    if kind == column.type:
        return column
    try:
        if pa.types.is_timestamp(column.type) and column.type.tz is None:
            column = column.cast(pa.timestamp("us"), safe=False)
        return column.cast(kind, safe=not pa.types.is_timestamp(kind))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise UnsupportedTypeError(
            f"column {name} of type {column.type} cannot be stored as {kind}: {error}. Convert it in the source.",
            subject=name,
        ) from error


# Layouts that hold the same values as a plainer one.
_PLAINER: list[tuple[Callable[[Any], bool], Callable[[Any], Any]]] = [
    (pa.types.is_dictionary, lambda kind: _plain_type(kind.value_type)),
    (pa.types.is_timestamp, lambda _: UTC_TIME),
    (pa.types.is_large_string, lambda _: pa.string()),
    (pa.types.is_string_view, lambda _: pa.string()),
    (pa.types.is_null, lambda _: pa.string()),
    (pa.types.is_large_binary, lambda _: pa.binary()),
    (pa.types.is_binary_view, lambda _: pa.binary()),
    (pa.types.is_date64, lambda _: pa.date32()),
    (pa.types.is_float16, lambda _: pa.float32()),
    (pa.types.is_large_list, lambda kind: pa.list_(_plain_type(kind.value_type))),
]


def _plain_type(kind: Any) -> Any:  # noqa: ANN401 - an Arrow type of any kind
    return next((plainer(kind) for applies, plainer in _PLAINER if applies(kind)), kind)


def _chunk_digest(table: pa.Table) -> str:
    hasher = blake3()
    for column in table.columns:
        for piece in _canonical(column):
            hasher.update(piece)
    return "b3:" + hasher.hexdigest()


def _canonical(array: Any) -> Iterable[Any]:  # noqa: ANN401 - an Arrow array of any type
    """Yield the bytes of an array: which values are there, then the values, a fixed filling for others."""
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    yield np.packbits(np.asarray(pc.is_valid(array).to_numpy(zero_copy_only=False), dtype=bool)).tobytes()
    kind = array.type
    if pa.types.is_boolean(kind):
        yield np.packbits(pc.fill_null(array, False).to_numpy(zero_copy_only=False)).tobytes()
    elif pa.types.is_floating(kind):
        values = np.array(pc.fill_null(array, 0).to_numpy(zero_copy_only=False), copy=True)
        values[np.isnan(values)] = np.nan
        yield values.tobytes()
    elif pa.types.is_string(kind) or pa.types.is_binary(kind):
        yield from _canonical_text(array)
    elif pa.types.is_integer(kind) or pa.types.is_temporal(kind):
        yield from _canonical_integers(array)
    else:
        yield msgspec.msgpack.encode(array.to_pylist(), enc_hook=repr)


def _canonical_text(array: Any) -> Iterable[Any]:  # noqa: ANN401
    lengths = pc.fill_null(pc.binary_length(array), 0).to_numpy(zero_copy_only=False).astype(np.int32)
    yield lengths.tobytes()
    # Taking the values that are there leaves one tight buffer without offsets' gaps or bytes beneath nulls.
    tight = pa.concat_arrays([array.drop_null()])
    offsets = np.frombuffer(tight.buffers()[1], dtype=np.int32)[tight.offset : tight.offset + len(tight) + 1]
    if len(tight) and tight.buffers()[2] is not None:
        yield memoryview(tight.buffers()[2])[int(offsets[0]) : int(offsets[-1])]


_VIEWS = {4: pa.int32(), 8: pa.int64()}


def _canonical_integers(array: Any) -> Iterable[Any]:  # noqa: ANN401
    width = array.type.bit_width // 8
    plain = array.view(_VIEWS[width]) if pa.types.is_temporal(array.type) else array
    yield np.ascontiguousarray(pc.fill_null(plain, 0).to_numpy(zero_copy_only=False)).tobytes()
