"""pandas frames. NaN, NaT, None and NA are missing."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from everloop.data.connectors.errors import MixedTypesError, UnsupportedSourceError
from everloop.data.connectors.protocol import PlainStream
from everloop.data.contents import refuse_bad_names


def open_object(frame: Any) -> PlainStream:  # noqa: ANN401 - pandas is imported by whoever made the frame
    """Open a frame; the index is left out."""
    table = to_table(frame)
    return PlainStream("the pandas frame", table.schema, lambda: [table], known_rows=table.num_rows)


def to_table(frame: Any) -> pa.Table:  # noqa: ANN401 - as above
    """Return the Arrow table of a frame."""
    if not hasattr(frame, "columns"):
        raise UnsupportedSourceError(f"a pandas {type(frame).__name__} is no table. Use .to_frame().")
    names = [str(name) for name in frame.columns]
    refuse_bad_names(names)
    try:
        return pa.Table.from_pandas(frame, preserve_index=False).rename_columns(names)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise MixedTypesError(
            f"the data frame holds a column of mixed types: {error}. Convert it to one type."
        ) from error
