"""The form every table is brought to: plain layouts, times in UTC microseconds, names that are unique.

Tests: tests/property/test_data.py, tests/unit/data/test_contents.py.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from everloop.core.errors import InvalidInputError
from everloop.data.records import Column

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
