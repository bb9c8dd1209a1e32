"""Plain Python values and Arrow objects as tables: dicts of columns, lists of records.

A missing value of pandas or NumPy (NaN, NaT, None) in them is missing here too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from everloop.data.connectors.errors import MixedTypesError, UnreadableSourceError, UnsupportedSourceError


def columns_to_table(columns: Mapping[Any, Any]) -> pa.Table:
    """Return the table of a dict of columns.

    Raises:
        UnreadableSourceError: the columns have different lengths.
        MixedTypesError: a column has no one type.
    """
    lengths = {str(name): len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise UnreadableSourceError(
            f"the columns have different lengths: {lengths}. Give each the same number of values."
        )
    return pa.table({str(name): _to_array(str(name), values) for name, values in columns.items()})


def records_to_table(records: Sequence[Any]) -> pa.Table:
    """Return the table of a list of dicts; a key that a record lacks is missing."""
    if not all(isinstance(record, Mapping) for record in records):
        raise UnsupportedSourceError("a list must hold records (dicts of column and value).")
    names = list(dict.fromkeys(name for record in records for name in record))
    return columns_to_table({name: [record.get(name) for record in records] for name in names})


def is_columns(value: Mapping[Any, Any]) -> bool:
    """Return whether a dict is columns rather than one record: each of its values is a sequence of values."""
    return bool(value) and all(
        (isinstance(item, Sequence) and not isinstance(item, str | bytes)) or hasattr(item, "__array__")
        for item in value.values()
    )


def _to_array(name: str, values: Any) -> Any:  # noqa: ANN401 - any sequence, an Arrow array
    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        raise MixedTypesError(
            f"column {name} holds mixed types: {error}. Give each column one type.",
            details={"column": name},
        ) from error
