"""Many files as one source, in the order of their names: one format, one schema.

Where types stand in the files (Parquet, Arrow), a file that differs is refused by name and column; where they are
taken from values (CSV, JSON lines, Excel) the columns are as wide as all files need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from everloop.core.digests import digest_value
from everloop.data.connectors.errors import (
    SchemaDiffersError,
    SchemaWidenedError,
    UnsupportedSourceError,
)
from everloop.data.connectors.files import LocalFile
from everloop.data.connectors.formats import TYPED_BY_VALUES, format_of, open_file
from everloop.data.connectors.inferred import InferredStream, widened
from everloop.data.connectors.partitions import Partitions
from everloop.data.connectors.protocol import PlainStream, naming_the_source
from everloop.data.connectors.widening import convert, wider_type, without_nulls
from everloop.data.contents import normalise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from everloop.data.connectors.files import SourceFile


class Member(NamedTuple):
    """One file of a folder: its path in it, and what opens it."""

    path: str
    open: Callable[[], SourceFile]


class FolderStream:
    """The rows of several files; see `SourceStream`.

    Args:
        description: names the folder in messages.
        members: its files, at least one.
        options: of their format, and `format` when their names do not say it.
    """

    def __init__(self, description: str, members: Sequence[Member], options: Mapping[str, Any]) -> None:
        self.description = description
        self._members = members
        self._options = dict(options)
        self._format = _one_format(description, members, str(options.get("format", "")))
        with naming_the_source(description):
            self._partitions = Partitions([member.path for member in members])
        self._types: pa.Schema | None = None
        self._types, _ = self._opened(members[0])

    @property
    def schema(self) -> pa.Schema:
        """Return the columns of the files, then those of their folders."""
        return pa.schema([*self._file_schema, *self._partitions.schema])

    @property
    def known_rows(self) -> int | None:
        """Return the rows of local Parquet files; each says its own."""
        rows = 0
        for member in self._members:
            file = member.open()
            stream = open_file(file, **self._options) if isinstance(file, LocalFile) else None
            if stream is None or stream.known_rows is None:
                return None
            rows += stream.known_rows
        return rows

    @property
    def source_digest(self) -> str:
        """Return the digest of the files' paths and bytes."""
        return digest_value(["files/1", [[member.path, member.open().digest()] for member in self._members]])

    def batches(self) -> Iterator[pa.Table]:
        """Yield the rows of each file in turn."""
        schema = self._file_schema
        for number, member in enumerate(self._members):
            types, stream = self._opened(member)
            if _settled(types) != schema:
                self._survey(types, number + 1)
                raise widened(stream.description)
            try:
                for piece in stream.batches():
                    fitted = convert(piece, schema, place=stream.description)
                    yield self._partitions.add(fitted, member.path)
            except SchemaWidenedError:
                self._survey(_types_of(stream), number + 1)
                raise

    @property
    def _file_schema(self) -> pa.Schema:
        return _settled(self._types)

    def _opened(self, member: Member) -> tuple[pa.Schema, InferredStream | PlainStream]:
        """Open a file; return the types that hold its rows and those of the files before."""
        file = member.open()
        options = self._options
        if self._types is not None and self._format.is_text:
            options = {**options, "types": self._types}
        stream = open_file(file, **options)
        if not isinstance(stream, InferredStream | PlainStream):
            raise TypeError(f"a file opens as a plain or an inferred stream, not as {type(stream).__name__}")
        found = _types_of(stream)
        self._partitions.refuse_doubles(found.names, file.name)
        if self._types is None or isinstance(stream, InferredStream):
            return found, stream
        return self._format.combine(self._types, found, file.name), stream

    def _survey(self, types: pa.Schema, start: int) -> None:
        """Find the types of the files that were not read yet, so that one more reading is enough."""
        self._types = types
        for member in self._members[start:]:
            self._types, stream = self._opened(member)
            if isinstance(stream, InferredStream):
                self._types = stream.survey()


class _Format(NamedTuple):
    """What the one format of a folder means for types."""

    is_text: bool
    combine: Callable[[pa.Schema, pa.Schema, str], pa.Schema]


def _one_format(description: str, members: Sequence[Member], chosen: str) -> _Format:
    first = format_of(members[0].path, chosen)
    for member in members:
        if format_of(member.path, chosen) != first:
            raise UnsupportedSourceError(
                f"{description} holds files of several formats: {members[0].path} and {member.path}. "
                'Name those of one with a pattern, for example "folder/*.csv".',
                subject=description,
            )
    is_text = TYPED_BY_VALUES.get(first, False)
    return _Format(is_text, _combiner(wider_type if first in TYPED_BY_VALUES else _same_type))


def _combiner(wider: Callable[[Any, Any], Any]) -> Callable[[pa.Schema, pa.Schema, str], pa.Schema]:
    def combine(types: pa.Schema, found: pa.Schema, place: str) -> pa.Schema:
        missing = [name for name in types.names if name not in found.names]
        extra = [name for name in found.names if name not in types.names]
        if missing or extra:
            raise _differs(
                place,
                f"{'lacks the' if missing else 'has a'} column {(missing or extra)[0]}",
                missing or extra,
            )
        fields = [(field.name, wider(field.type, found.field(field.name).type)) for field in types]
        for name, kind in fields:
            if kind is None:
                told = f"has {name} as {found.field(name).type} where the files before have {types.field(name).type}"
                raise _differs(place, told, [name])
        return pa.schema(fields)

    return combine


def _differs(place: str, told: str, columns: list[str]) -> SchemaDiffersError:
    return SchemaDiffersError(
        f"{place} {told}. Give every file the same columns, or add them as datasets of their own.",
        subject=place,
        details={"columns": columns},
    )


def _same_type(one: Any, other: Any) -> Any | None:  # noqa: ANN401 - Arrow types
    """Return the type of both, as they are stored; a column without values has any type."""
    if pa.types.is_null(one):
        return other
    if pa.types.is_null(other) or _settled(pa.schema([("column", one)])) == _settled(
        pa.schema([("column", other)])
    ):
        return one
    return None


def _types_of(stream: InferredStream | PlainStream) -> pa.Schema:
    return stream.types


def _settled(types: pa.Schema | None) -> pa.Schema:
    return normalise(without_nulls(types or pa.schema([])).empty_table()).schema
