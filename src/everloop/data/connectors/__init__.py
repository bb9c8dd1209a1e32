"""Reading sources: files, buckets, HTTP, SQL, objects of other libraries, Python values.

`open_source` gives a stream of pieces in the normal form (`contents.normalise`); `to_arrow` collects them. What
cannot be read is refused by a class of ours that names the object and the way out.

Tests: tests/unit/data/connectors.
"""

from __future__ import annotations

from everloop.data.connectors.errors import (
    ClockWentBackError,
    EmptySourceError,
    MixedTypesError,
    RaggedRowError,
    SchemaDiffersError,
    SchemaWidenedError,
    SourceConsumedError,
    SourceLoopError,
    SourceNotFoundError,
    SourceQueryError,
    SourceTooLargeError,
    SourceUnavailableError,
    UnknownOptionError,
    UnreadableSourceError,
    UnsupportedSourceError,
    WrongEncodingError,
)
from everloop.data.connectors.opening import describe, open_source, refuse_empty, to_arrow
from everloop.data.connectors.protocol import SourceStream, read_through

__all__ = [
    "ClockWentBackError",
    "EmptySourceError",
    "MixedTypesError",
    "RaggedRowError",
    "SchemaDiffersError",
    "SchemaWidenedError",
    "SourceConsumedError",
    "SourceLoopError",
    "SourceNotFoundError",
    "SourceQueryError",
    "SourceStream",
    "SourceTooLargeError",
    "SourceUnavailableError",
    "UnknownOptionError",
    "UnreadableSourceError",
    "UnsupportedSourceError",
    "WrongEncodingError",
    "describe",
    "open_source",
    "read_through",
    "refuse_empty",
    "to_arrow",
]
