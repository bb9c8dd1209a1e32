"""The narrowest type that holds the values of two types: what a column is once a later value did not fit.

Pure. null < anything; int64 < double; date < timestamp; second < finer unit; lists and structs by what is in
them. Numbers and text have no common type here: a text format that wants one says `or text` itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from everloop.data.connectors.errors import MixedTypesError, SchemaDiffersError

if TYPE_CHECKING:
    from collections.abc import Sequence

_UNITS = ("s", "ms", "us", "ns")
_SINGLE_BITS = 32
_LONGEST_BITS = 64


def wider_type(one: Any, other: Any) -> Any | None:  # noqa: ANN401 - Arrow types of any kind
    """Return the type that holds the values of both, or None when there is none."""
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    for applies, widen in _WIDER:
        if applies(one) and applies(other):
            return widen(one, other)
    return None


def wider_schema(one: pa.Schema, other: pa.Schema, *, place: str) -> pa.Schema:
    """Return the columns of both, each wide enough for both.

    Raises:
        MixedTypesError: a column has no common type; `place` says where the second schema was met.
    """
    fields = {field.name: field.type for field in one}
    for field in other:
        known = fields.get(field.name, field.type)
        found = wider_type(known, field.type)
        if found is None:
            raise mixed_types(place, field.name, known, field.type)
        fields[field.name] = found
    return pa.schema(list(fields.items()))


def mixed_types(place: str, column: str, first: object, then: object) -> MixedTypesError:
    """Return the error of a column without a common type."""
    return MixedTypesError(
        f"{place}: column {column} holds {then} where it held {first} before. Give the column one type in the source.",
        subject=place,
        details={"column": column, "types": [str(first), str(then)]},
    )


def without_nulls(schema: pa.Schema) -> pa.Schema:
    """Return the schema with text where no value has shown a type yet, also inside lists and structs."""
    return pa.schema([(field.name, _without_null(field.type)) for field in schema])


def has_nulls(schema: pa.Schema) -> bool:
    """Return whether a column has not shown its type yet."""
    return any(_without_null(field.type) != field.type for field in schema)


def fit(table: pa.Table, schema: pa.Schema, *, place: str) -> pa.Table:
    """Return the table with exactly the columns of `schema`, where each type widens to that of the schema.

    Raises:
        SchemaDiffersError, MixedTypesError: as in `convert`; also for a type that would have to narrow.
    """
    for field in table.schema:
        wanted = schema.field(field.name).type if field.name in schema.names else field.type
        if wider_type(field.type, wanted) != wanted:
            raise mixed_types(place, field.name, wanted, field.type)
    return convert(table, schema, place=place)


def convert(table: pa.Table, schema: pa.Schema, *, place: str) -> pa.Table:
    """Return the table with exactly the columns of `schema`; a column that it lacks is null.

    Raises:
        SchemaDiffersError: it has a column more.
        MixedTypesError: a value cannot be of its column's type without loss.
    """
    extra = [name for name in table.column_names if name not in schema.names]
    if extra:
        raise SchemaDiffersError(
            f"{place} has a column {extra[0]} that the rows before do not have. Give every piece the same columns.",
            subject=place,
            details={"columns": extra},
        )
    return pa.Table.from_arrays([_converted(table, field, place) for field in schema], schema=schema)


def _converted(table: pa.Table, field: Any, place: str) -> Any:  # noqa: ANN401 - an Arrow column
    index = table.schema.get_field_index(field.name)
    if index < 0:
        return pa.nulls(table.num_rows, field.type)
    column = table.column(index)
    if column.type == field.type:
        return column
    try:
        return column.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        # also a whole number beyond 2**53 among floats: no float is that number
        raise mixed_types(place, field.name, field.type, column.type) from error


def _is_number(kind: Any) -> bool:  # noqa: ANN401
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def _is_time(kind: Any) -> bool:  # noqa: ANN401
    return pa.types.is_date(kind) or pa.types.is_timestamp(kind)


def _wider_number(one: Any, other: Any) -> Any | None:  # noqa: ANN401
    if pa.types.is_floating(one) or pa.types.is_floating(other):
        is_single = all(
            pa.types.is_floating(kind) and kind.bit_width <= _SINGLE_BITS for kind in (one, other)
        )
        return pa.float32() if is_single else pa.float64()
    if pa.types.is_unsigned_integer(one) == pa.types.is_unsigned_integer(other):
        return max(one, other, key=lambda kind: kind.bit_width)
    signed, unsigned = (other, one) if pa.types.is_unsigned_integer(one) else (one, other)
    if unsigned.bit_width == _LONGEST_BITS:
        return None
    return max(signed, _SIGNED[unsigned.bit_width * 2], key=lambda kind: kind.bit_width)


_SIGNED = {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}


def _wider_list(one: Any, other: Any) -> Any | None:  # noqa: ANN401
    value = wider_type(one.value_type, other.value_type)
    return None if value is None else pa.list_(value)


def _wider_time(one: Any, other: Any) -> Any | None:  # noqa: ANN401
    times = [kind for kind in (one, other) if pa.types.is_timestamp(kind)]
    if not times:
        return pa.date64()
    zones: Sequence[str | None] = sorted({kind.tz for kind in times}, key=str)
    if len(zones) > 1 or (zones[0] and len(times) == 1):
        return None
    return pa.timestamp(max((kind.unit for kind in times), key=_UNITS.index), tz=zones[0])


def _wider_struct(one: Any, other: Any) -> Any | None:  # noqa: ANN401
    fields = {field.name: field.type for field in one}
    for field in other:
        found = wider_type(fields.get(field.name, field.type), field.type)
        if found is None:
            return None
        fields[field.name] = found
    return pa.struct(list(fields.items()))


_WIDER = [
    (_is_number, _wider_number),
    (_is_time, _wider_time),
    (pa.types.is_list, _wider_list),
    (pa.types.is_struct, _wider_struct),
]


def _without_null(kind: Any) -> Any:  # noqa: ANN401
    if pa.types.is_null(kind):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(_without_null(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, _without_null(field.type)) for field in kind])
    return kind
