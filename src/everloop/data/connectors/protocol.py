"""What every source offers once it is open: a schema that is known, and pieces that keep to it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar

import pyarrow as pa

from everloop.core.errors import InvalidInputError
from everloop.data.connectors.errors import SchemaWidenedError, SourceConsumedError
from everloop.data.contents import normalise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

# Rows of one piece at most; a reader that knows its rows to be wide gives fewer.
PIECE_ROWS = 131_072
Read = TypeVar("Read")


class SourceStream(Protocol):
    """The rows of one source, in order, in pieces that fit into memory.

    One thread reads a stream at a time. Every piece has exactly `schema`, which is in the normal form of
    `contents.normalise`. Where the types of a text format were taken from its beginning and a later value does
    not fit, `batches` raises `SchemaWidenedError` once it has put the wider types into `schema`; call it again
    then, or use `read_through`. A source that can be read once (an iterator) raises `SourceConsumedError` the
    second time; files, queries and frames can be read again.
    """

    description: str

    @property
    def schema(self) -> pa.Schema:
        """Return names and types of the columns."""
        ...

    @property
    def known_rows(self) -> int | None:
        """Return the number of rows where the source says it without being read, else None."""
        ...

    @property
    def source_digest(self) -> str:
        """Return the digest of the bytes of a file or of files, else an empty text; costs one reading of them."""
        ...

    def batches(self) -> Iterator[pa.Table]:
        """Yield the rows from the first one on."""
        ...


def read_through(stream: SourceStream, write: Callable[[pa.Schema, Iterator[pa.Table]], Read]) -> Read:
    """Return what `write` makes of the schema and all pieces.

    When a column turns out to be wider than it looked, `write` is called anew, with the wider schema and the
    pieces from the first one on; it must begin again too. A column can widen a few times at most.
    """
    while True:
        try:
            return write(stream.schema, stream.batches())
        except SchemaWidenedError:
            continue


def collect(stream: SourceStream) -> pa.Table:
    """Return all rows as one table."""
    return read_through(stream, lambda schema, pieces: pa.concat_tables([schema.empty_table(), *pieces]))


class PlainStream:
    """A source whose schema is known before it is read: Parquet, Arrow, frames; see `SourceStream`.

    Args:
        description: names the source in messages.
        schema: of the pieces that `read` yields, in any form.
        read: starts a reading.
        known_rows: where known.
        digest: returns the digest of the source's bytes.
        is_repeatable: whether `read` may be called again.

    Attributes:
        types: the schema as the source states it, before it takes the normal form.
    """

    def __init__(
        self,
        description: str,
        schema: pa.Schema,
        read: Callable[[], Iterable[pa.Table]],
        *,
        known_rows: int | None = None,
        digest: Callable[[], str] = str,
        is_repeatable: bool = True,
    ) -> None:
        self.description = description
        self.types = schema
        with naming_the_source(description):
            self.schema: pa.Schema = normalise(schema.empty_table()).schema
        self.known_rows = known_rows
        self._read = read
        self._digest = digest
        self._may_read = is_repeatable
        self._is_read = False

    @property
    def source_digest(self) -> str:
        """Return the digest of the file's bytes."""
        return self._digest()

    def batches(self) -> Iterator[pa.Table]:
        """Yield the rows."""
        if self._is_read and not self._may_read:
            raise consumed(self.description)
        self._is_read = True
        for table in self._read():
            yield from cut(normalise(table))


def cut(table: pa.Table, rows: int = PIECE_ROWS) -> Iterator[pa.Table]:
    """Yield the rows in pieces of at most `rows`; no rows, no piece."""
    for start in range(0, table.num_rows, rows):
        yield table.slice(start, rows)


def consumed(description: str) -> SourceConsumedError:
    """Return the error of a second reading."""
    return SourceConsumedError(
        f"{description} was read already and cannot be read twice. Make a new one, or give a list.",
        subject=description,
    )


@contextmanager
def naming_the_source(description: str) -> Iterator[None]:
    """Put the source's name before the message of an error of ours that names no object."""
    try:
        yield
    except InvalidInputError as error:
        if error.subject:
            raise
        message = f"{description}: {error.message}"
        raise type(error)(message, subject=description, path=error.path, details=error.details) from error
