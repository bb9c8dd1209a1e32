"""Objects of other libraries, one file each, found by the module that their class comes from.

No library is imported here: who has such an object has loaded it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Callable

    from everloop.data.connectors.protocol import SourceStream

# Name of a library to the file here that opens its objects.
_LIBRARIES = {
    "pandas": "pandas_frame",
    "polars": "polars_frame",
    "duckdb": "duckdb_relation",
    "datasets": "hugging_face",
    "dlt": "dlt_source",
}


def library_of(source: object) -> str:
    """Return the top package that the object's class comes from."""
    return type(source).__module__.partition(".")[0].lstrip("_")


def find_opener(source: object) -> Callable[..., SourceStream] | None:
    """Return what opens an object of a library we know, or one that gives Arrow streams itself."""
    name = _LIBRARIES.get(library_of(source))
    if name is not None:
        found: Callable[..., SourceStream] = import_module(f"{__name__}.{name}").open_object
        return found
    if hasattr(source, "__arrow_c_stream__"):
        return import_module(f"{__name__}.arrow_stream").open_object  # type: ignore[no-any-return]
    return None


def find_table_reader(item: object) -> Callable[[Any], pa.Table] | None:
    """Return what makes one table of a data frame, or None for other objects."""
    if library_of(item) in {"pandas", "polars"}:
        return import_module(f"{__name__}.{_LIBRARIES[library_of(item)]}").to_table  # type: ignore[no-any-return]
    if hasattr(item, "__arrow_c_stream__"):
        return _from_stream
    return None


def _from_stream(item: Any) -> pa.Table:  # noqa: ANN401 - offers the Arrow stream interface
    return pa.RecordBatchReader.from_stream(item).read_all()
