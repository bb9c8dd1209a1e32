"""Tables of any library as Arrow, and a signature read off an example.

Tests: tests/unit/registry/test_model.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, cast

import pyarrow as pa

from everloop.core.errors import InvalidInputError
from everloop.registry.records import Column, Kind, Scalar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


Values: TypeAlias = "pa.ChunkedArray[Any]"
"""One column of a table."""


class NotATableError(InvalidInputError):
    """A value is no table we can read."""

    code = "registry.not-a-table"


class MissingColumnError(InvalidInputError):
    """A table lacks a column that the model needs."""

    code = "registry.missing-column"


class UnsupportedColumnError(InvalidInputError):
    """A column has a type that models do not take."""

    code = "registry.unsupported-column"


def as_arrow(table: object) -> pa.Table:
    """Return a table as Arrow: Arrow itself, pandas, Polars, a dict of columns, or anything with `to_arrow()`.

    Raises:
        NotATableError: it is none of these.
    """
    if isinstance(table, pa.Table):
        return table
    if hasattr(table, "to_arrow"):
        return cast("pa.Table", table.to_arrow())
    if isinstance(table, dict):
        return pa.table(table)
    if type(table).__module__.partition(".")[0] == "pandas" and hasattr(table, "columns"):
        return pa.Table.from_pandas(table, preserve_index=False)
    raise NotATableError(
        f"a {type(table).__name__} is no table; give an Everloop, Arrow, pandas or Polars table, or a dict of columns."
    )


def select(table: pa.Table, names: Sequence[str]) -> pa.Table:
    """Return the columns by name, in this order.

    Raises:
        MissingColumnError: some are not there; the message names them.
    """
    missing = [name for name in names if name not in table.column_names]
    if missing:
        raise MissingColumnError(
            f"the table has no column {', '.join(missing)}; it has {', '.join(table.column_names)}.",
            path=f"$.{missing[0]}",
            details={"missing": missing},
        )
    return table.select(list(names))


def infer_columns(
    example: pa.Table, *, categories: Mapping[str, Sequence[Scalar]], is_nullable: bool
) -> list[Column]:
    """Read the input columns off an example.

    Args:
        example: the features, in the model's order.
        categories: known values of categorical columns, in the order of their codes; a dictionary column (pandas'
            category) brings its own.
        is_nullable: whether the model takes missing values in every column; else a column is nullable when the example
            has a null in it.
    """
    return [
        _column(name, example.column(name), categories.get(name), is_nullable=is_nullable)
        for name in example.column_names
    ]


def _column(name: str, values: Values, categories: Sequence[Scalar] | None, *, is_nullable: bool) -> Column:
    kind = values.type
    if pa.types.is_dictionary(kind):
        if categories is None:
            whole = cast("pa.DictionaryArray[Any, Any]", values.combine_chunks())
            categories = cast("list[Scalar]", whole.dictionary.to_pylist())
        kind = kind.value_type
    return Column(
        name=name,
        kind=_kind(name, kind),
        nullable=is_nullable or values.null_count > 0,
        categories=None if categories is None else list(categories),
    )


def _kind(name: str, kind: pa.DataType) -> Kind:
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_integer(kind):
        return "long"
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind):
        return "double"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "string"
    raise UnsupportedColumnError(
        f"column {name} has the type {kind}; models take numbers, booleans and text. Turn it into one of these first.",
        subject=name,
    )


def plain_values(values: Values) -> Values:
    """Return a dictionary column as its values, any other as it is."""
    return values.cast(values.type.value_type) if pa.types.is_dictionary(values.type) else values
