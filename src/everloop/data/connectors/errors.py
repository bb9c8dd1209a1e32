"""Why a source cannot be read: one class for each cause, with its stable code.

Tests: tests/unit/data/connectors.
"""

from __future__ import annotations

from everloop.core.errors import ConflictError, InvalidInputError, NotFoundError, UnavailableError


class SourceNotFoundError(NotFoundError):
    """The file to add is not there."""

    code = "data.source-not-found"


class EmptySourceError(InvalidInputError):
    """A source has no rows."""

    code = "data.empty-source"


class RaggedRowError(InvalidInputError):
    """A line of a CSV file has more or fewer fields than its header."""

    code = "data.ragged-row"


class UnreadableSourceError(InvalidInputError):
    """A file is not what its name says, or its content is broken."""

    code = "data.unreadable-source"


class WrongEncodingError(UnreadableSourceError):
    """A text file is not in the encoding it was read with."""

    code = "data.wrong-encoding"


class MixedTypesError(UnreadableSourceError):
    """A column holds values of types that no one type can hold."""

    code = "data.mixed-types"


class UnsupportedSourceError(InvalidInputError):
    """A source is of a kind that cannot be read."""

    code = "data.unsupported-source"


class UnknownOptionError(InvalidInputError):
    """An option does not exist for this kind of source, or has a value it does not take."""

    code = "data.unknown-option"


class SchemaDiffersError(InvalidInputError):
    """A file or piece of a source has other columns than those before it."""

    code = "data.source-schema-differs"


class SourceLoopError(InvalidInputError):
    """A folder contains a link to a folder above it."""

    code = "data.source-loop"


class SourceTooLargeError(InvalidInputError):
    """A download is larger than its limit."""

    code = "data.source-too-large"


class SourceQueryError(InvalidInputError):
    """A database refused a query, or its result cannot be used."""

    code = "data.source-query"


class SourceUnavailableError(UnavailableError):
    """The server of a source does not answer."""

    code = "data.source-unavailable"


class SourceConsumedError(ConflictError):
    """A source that can be read once was read a second time."""

    code = "data.source-consumed"


class SchemaWidenedError(ConflictError):
    """A value did not fit the type of its column; the stream has a wider schema now and is to be read again.

    `read_through` does so; only who calls `batches` directly meets this error.
    """

    code = "data.schema-widened"


class ClockWentBackError(ConflictError):
    """A clock told a time before one that it told already."""

    code = "data.clock-went-back"
