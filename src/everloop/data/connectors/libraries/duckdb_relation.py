"""DuckDB relations, computed in pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from everloop.data.connectors.errors import UnreadableSourceError, UnsupportedSourceError
from everloop.data.connectors.protocol import PIECE_ROWS, PlainStream

if TYPE_CHECKING:
    from collections.abc import Iterator


def open_object(relation: Any) -> PlainStream:  # noqa: ANN401 - some class of DuckDB
    """Open a relation; it is computed again with each reading."""
    if not hasattr(relation, "to_arrow_reader"):
        raise UnsupportedSourceError(
            f"a DuckDB {type(relation).__name__} is no relation. Use connection.sql(...)."
        )

    def read() -> Iterator[pa.Table]:
        try:
            for batch in relation.to_arrow_reader(PIECE_ROWS):
                yield pa.Table.from_batches([batch])
        except (duckdb.Error, pa.ArrowInvalid, OSError) as error:
            raise UnreadableSourceError(
                f"the DuckDB relation cannot be computed: {error}. Mend the query, then add it again."
            ) from error

    schema: pa.Schema = relation.limit(0).to_arrow_table().schema
    return PlainStream("the DuckDB relation", schema, read)
