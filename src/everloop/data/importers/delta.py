"""A Delta Lake table, read only: its versions, and the rows of one.

The rows are the columns of the table's schema in its order; a column that an older file lacks is missing there;
partition columns come from the log.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from everloop.data.connectors.formats.parquet import open_parquet
from everloop.data.connectors.protocol import PlainStream
from everloop.data.connectors.widening import convert
from everloop.data.importers.delta_log import LiveFile, Snapshot, replay
from everloop.data.importers.delta_place import open_delta_place
from everloop.data.importers.errors import NoRepositoryError, UnsupportedFeatureError
from everloop.data.importers.records import ImportedFile, ImportedVersion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from everloop.data.importers.delta_place import DeltaPlace

# Delta's names of types; https://github.com/delta-io/delta/blob/master/PROTOCOL.md#primitive-types
_TYPES: dict[str, Any] = {
    "string": pa.string(), "long": pa.int64(), "integer": pa.int32(), "short": pa.int16(), "byte": pa.int8(),
    "float": pa.float32(), "double": pa.float64(), "boolean": pa.bool_(), "binary": pa.binary(),
    "date": pa.date32(), "timestamp": pa.timestamp("us", tz="UTC"), "timestamp_ntz": pa.timestamp("us"),
}  # fmt: skip


def read_delta(
    table: str | Path,
    *,
    since: int = 0,
    store_options: Mapping[str, str] | None = None,
    store: Any = None,  # noqa: ANN401 - a store of obstore
) -> Iterator[ImportedVersion]:
    """Yield the versions of a Delta table that its log still tells, oldest first.

    Args:
        table: a folder, or a URL of any obstore scheme.
        since: the first version to yield.
        store_options: obstore's options for the URL.
        store: a store of obstore to use for it.

    Raises:
        NoRepositoryError: there is no Delta table.
        UnsupportedFeatureError: a version cannot be read, for example for its deletion vectors.
        UnreadableHistoryError, UnsafePathError: as named.
    """
    place = open_delta_place(table, store_options=store_options, store=store)
    known: dict[str, ImportedFile] = {}
    for snapshot in replay(place, since=since):
        _refuse_problem(place, snapshot)
        yield ImportedVersion(
            name=str(snapshot.number),
            source=f"{place.name}@{snapshot.number}",
            message=snapshot.operation,
            author=snapshot.author,
            time=snapshot.time,
            files=tuple(_imported(place, file, known) for _, file in sorted(snapshot.files.items())),
        )


def open_delta(
    table: str | Path,
    *,
    version: int | None = None,
    store_options: Mapping[str, str] | None = None,
    store: Any = None,  # noqa: ANN401 - a store of obstore
) -> PlainStream:
    """Open the rows of a version of a Delta table, the latest by default; files in the order of their paths.

    Raises:
        NoRepositoryError: there is no Delta table, or no such version.
        SourceNotFoundError: while rows are read, that a file of an old version was deleted (vacuumed).
        UnsupportedFeatureError, UnreadableHistoryError, UnsafePathError: as in `read_delta`.
    """
    place = open_delta_place(table, store_options=store_options, store=store)
    snapshot = next(replay(place, since=version), None)
    if snapshot is None or version not in {None, snapshot.number}:
        raise NoRepositoryError(
            f"the Delta table {place.name} has no version {version} (any more). See read_delta for those it has.",
            subject=place.name,
        )
    _refuse_problem(place, snapshot)
    return _stream(place, snapshot)


def _refuse_problem(place: DeltaPlace, snapshot: Snapshot) -> None:
    if snapshot.problem:
        raise UnsupportedFeatureError(
            f"version {snapshot.number} of the Delta table {place.name} cannot be read: {snapshot.problem}, or take another version.",
            subject=place.name,
            details={"version": snapshot.number},
        )


def _stream(place: DeltaPlace, snapshot: Snapshot) -> PlainStream:
    schema = _arrow_schema(place, snapshot.schema)
    own = pa.schema([field for field in schema if field.name not in snapshot.partition_columns])

    def read() -> Iterator[pa.Table]:
        for path in sorted(snapshot.files):
            file = snapshot.files[path]
            stream = open_parquet(place.file(path))
            for piece in stream.batches():
                rows = convert(piece.select(_known(piece, own)), own, place=stream.description)
                yield _with_partition(rows, schema, file)

    return PlainStream(f"{place.name}@{snapshot.number}", schema, read)


def _known(piece: pa.Table, own: pa.Schema) -> list[str]:
    """Return the columns to take of a file; one that was dropped from the table may still be in it."""
    return [name for name in piece.column_names if name in own.names]


def _with_partition(rows: pa.Table, schema: pa.Schema, file: LiveFile) -> pa.Table:
    columns = []
    for field in schema:
        if field.name in rows.column_names:
            columns.append(rows.column(field.name))
        else:
            text = file.partition.get(field.name)
            # The protocol: an empty text is a missing value, of each type.
            value = pa.scalar(text or None, pa.string())
            columns.append(pa.chunked_array([pa.repeat(_parsed(value, field.type), rows.num_rows)]))
    return pa.Table.from_arrays(columns, schema=schema)


def _parsed(value: pa.StringScalar, kind: Any) -> Any:  # noqa: ANN401 - an Arrow type, an Arrow scalar
    if pa.types.is_timestamp(kind) and value.is_valid:
        # "2013-01-01 05:00:00", or ISO 8601 with Z; both are UTC
        plain = pa.scalar(value.as_py().removesuffix("Z"))
        return plain.cast(pa.timestamp("us")).cast(kind)
    return value.cast(kind)


def _arrow_schema(place: DeltaPlace, text: str) -> pa.Schema:
    return pa.schema(
        [
            (field["name"], _arrow_type(place, field["name"], field["type"]))
            for field in json.loads(text)["fields"]
        ]
    )


def _arrow_type(place: DeltaPlace, name: str, kind: Any) -> Any:  # noqa: ANN401 - JSON, an Arrow type
    inner: Callable[[Any], Any] = lambda found: _arrow_type(place, name, found)  # noqa: E731
    if isinstance(kind, str) and kind in _TYPES:
        return _TYPES[kind]
    if isinstance(kind, str) and kind.startswith("decimal("):
        precision, scale = kind.removeprefix("decimal(").removesuffix(")").split(",")
        return pa.decimal128(int(precision), int(scale))
    if isinstance(kind, dict) and kind["type"] == "struct":
        return pa.struct([(field["name"], inner(field["type"])) for field in kind["fields"]])
    if isinstance(kind, dict) and kind["type"] == "array":
        return pa.list_(inner(kind["elementType"]))
    if isinstance(kind, dict) and kind["type"] == "map":
        return pa.map_(inner(kind["keyType"]), inner(kind["valueType"]))
    raise UnsupportedFeatureError(
        f"column {name} of the Delta table {place.name} has the type {kind}, which is not known. Leave it out of an export.",
        subject=place.name,
    )


def _imported(place: DeltaPlace, file: LiveFile, known: dict[str, ImportedFile]) -> ImportedFile:
    """Return the record of a file; most files are of many versions, so each has one record."""
    if file.path not in known:
        known[file.path] = ImportedFile(
            path=file.path,
            location=place.location(file.path),
            size_bytes=file.size_bytes,
            partition=file.partition,
        )
    return known[file.path]
