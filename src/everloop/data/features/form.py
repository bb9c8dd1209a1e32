"""How keys and features are written in a database, and read back as what they were.

A key is the JSON text of its values, a row of features is MessagePack; what these cannot say (times, dates, decimals) is
written as a number or a text of the same meaning. Tests: tests/unit/data/features/test_form.py.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pyarrow as pa

from everloop.data.contents import UTC_TIME
from everloop.data.features.errors import FeatureViewError
from everloop.data.features.expressions import longest_age

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from everloop.data.features.records import FeatureView

    Field = pa.Field[Any]

_KEYS, _TTL = b"everloop.keys", b"everloop.ttl_us"
_encode_key = msgspec.json.Encoder().encode
_decode_key = msgspec.json.Decoder().decode
_encode_rows = msgspec.msgpack.Encoder().encode


class OnlineRow(NamedTuple):
    """A row of features: from when on it is used, when it happened, both in microseconds, and its values."""

    usable: int
    happened: int
    values: list[Any]


_decode_rows = msgspec.msgpack.Decoder(list[OnlineRow]).decode


class Form:
    """Names and types of the keys and features of a materialised view.

    Attributes:
        keys, features: their fields.
        encoded: the whole, as it is stored.
    """

    def __init__(self, encoded: bytes) -> None:
        self.encoded = encoded
        schema = pa.ipc.read_schema(pa.py_buffer(encoded))
        count = int(schema.metadata[_KEYS])
        self.keys = [schema.field(at) for at in range(count)]
        self.features = [schema.field(at) for at in range(count, len(schema))]
        self._ttl = int(schema.metadata.get(_TTL, 0))
        self._schema = pa.schema([*self.keys, *self.features])
        # What needs no conversion; of other types nothing is passed by.
        self._plain = [
            str if pa.types.is_string(field.type) else int if pa.types.is_int64(field.type) else None
            for field in self.keys
        ]

    @classmethod
    def of(cls, view: FeatureView, keys: pa.Schema, features: pa.Schema) -> Form:
        """Return the form of a view.

        Raises:
            FeatureViewError: a key or a feature has a type that cannot be looked up.
        """
        for field in keys:
            if not _is_key(field.type):
                raise FeatureViewError(
                    f"feature view {view.name} cannot be looked up by {field.name}, which is {field.type}: such values are not surely equal. "
                    "Make it a whole number or a text in the dataset.",
                    subject=view.name,
                )
        for field in features:
            stored_type(field)
        told: dict[bytes | str, bytes | str] = {_KEYS: str(len(keys)).encode()}
        if view.ttl:
            told[_TTL] = str(longest_age(view)).encode()
        # As the join does it.
        shown = [
            field.with_name(f"{view.name}__{field.name}") if field.name in keys.names else field
            for field in features
        ]
        schema = pa.schema([*keys, *shown], metadata=told)
        return cls(schema.serialize().to_pybytes())

    def key_values(self, text: str) -> list[object]:
        """Return the values of a key given as JSON: a list of them, an object, or the value of the only key.

        Raises:
            FeatureViewError: it is no JSON, or an object without one of the keys.
        """
        try:
            given = _decode_key(text)
        except msgspec.DecodeError as error:
            raise FeatureViewError(f"{text!r} is no key in JSON: {error}") from error
        if not isinstance(given, dict):
            return given if isinstance(given, list) else [given]
        missing = [field.name for field in self.keys if field.name not in given]
        if missing:
            raise FeatureViewError(f"a key has no {', '.join(missing)}; it has: {', '.join(given)}.")
        return [given[field.name] for field in self.keys]

    def key_text(self, values: Sequence[object]) -> str | None:
        """Return the text of a key, None when a value of it is missing.

        Raises:
            FeatureViewError: a value does not fit its column.
        """
        if len(values) != len(self.keys):
            raise FeatureViewError(
                f"a key has {len(self.keys)} values ({', '.join(field.name for field in self.keys)}), not {len(values)}."
            )
        plain = self._stored_key(values)
        return None if None in plain else _encode_key(plain).decode()

    def key_texts(self, keys: pa.Table) -> list[str]:
        """Return the texts of keys without missing values."""
        columns = [_stored(keys.column(field.name), field).to_pylist() for field in self.keys]
        return [_encode_key(values).decode() for values in zip(*columns, strict=True)]

    def with_keys(self, keys: pa.Table, texts: Sequence[str]) -> pa.Table:
        """Return keys and those of some texts that are not among them."""
        known = set(self.key_texts(keys))
        others = [_decode_key(text) for text in texts if text not in known]
        columns = [_restored([key[at] for key in others], field) for at, field in enumerate(self.keys)]
        schema = pa.schema(self.keys)
        return pa.concat_tables(
            [keys.select(schema.names).cast(schema), pa.Table.from_arrays(columns, schema=schema)]
        )

    def feature_rows(self, features: pa.Table) -> Iterator[tuple[Any, ...]]:
        """Yield the values of rows as they are stored."""
        columns = [_stored(features.column(at), field).to_pylist() for at, field in enumerate(self.features)]
        return zip(*columns, strict=True)

    def numbers(self, row: list[Any]) -> dict[str, Any]:
        """Return the features of a row that a model can take, decimals as numbers; times are none."""
        return {
            field.name: float(value) if value is not None and pa.types.is_decimal(field.type) else value
            for field, value in zip(self.features, row, strict=True)
            if not pa.types.is_temporal(field.type)
        }

    def table(self, keys: Sequence[Sequence[object]], rows: Sequence[Sequence[Any] | None]) -> pa.Table:
        """Return keys and their features as a table."""
        stored = [self._stored_key(key) for key in keys]
        columns = [_restored([key[at] for key in stored], field) for at, field in enumerate(self.keys)]
        columns += [
            _restored([None if row is None else row[at] for row in rows], field)
            for at, field in enumerate(self.features)
        ]
        return pa.Table.from_arrays(columns, schema=self._schema)

    def _stored_key(self, values: Sequence[object]) -> list[Any]:
        return [
            value if type(value) is kind else _converted(value, field)
            for value, kind, field in zip(values, self._plain, self.keys, strict=True)
        ]

    def alive(self, encoded: bytes, at: int) -> list[Any] | None:
        """Return the values that describe a key at a moment, by the rule of the join."""
        usable = [row for row in _decode_rows(encoded) if row.usable <= at]
        if not usable or (self._ttl and at - usable[-1].happened > self._ttl):
            return None
        return usable[-1].values


@lru_cache(maxsize=256)
def form_of(encoded: bytes) -> Form:
    """Return the form that was stored."""
    return Form(encoded)


def encode_rows(rows: Sequence[OnlineRow]) -> bytes:
    """Return the rows of a key as they are stored, ascending by the time from which they are used."""
    return _encode_rows(rows)


def stored_type(field: Field) -> Any:  # noqa: ANN401 - an Arrow type
    """Return the type as which values are stored.

    Raises:
        FeatureViewError: there is none.
    """
    kind = field.type
    if pa.types.is_date32(kind) or pa.types.is_time32(kind):
        return pa.int32()
    if pa.types.is_temporal(kind):
        return pa.int64()
    if pa.types.is_decimal(kind):
        return pa.string()
    if pa.types.is_nested(kind) and any(
        word in str(kind) for word in ("date", "time", "duration", "decimal", "map", "binary")
    ):
        raise FeatureViewError(
            f"the feature {field.name} of type {kind} cannot be kept for look-up. Make it plain values or lists of them."
        )
    return kind


def _is_key(kind: Any) -> bool:  # noqa: ANN401 - an Arrow type
    is_text = pa.types.is_string(kind) or pa.types.is_boolean(kind)
    return is_text or pa.types.is_integer(kind) or pa.types.is_temporal(kind) or pa.types.is_decimal(kind)


def _stored(column: Any, field: Field) -> Any:  # noqa: ANN401 - an Arrow column
    return column.cast(stored_type(field))


def _restored(values: Sequence[object], field: Field) -> Any:  # noqa: ANN401
    kind = stored_type(field)
    found = pa.array(values, kind)
    return found if kind == field.type else found.cast(field.type)


def _converted(value: Any, field: Field) -> Any:  # noqa: ANN401 - a plain value
    """Return a value as it is stored, whatever it was given as."""
    if value is None:
        return None
    if isinstance(value, str) and field.type == UTC_TIME:
        value = _as_time(value, field)
    if isinstance(value, datetime) and value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    try:
        return pa.scalar(value).cast(field.type).cast(stored_type(field)).as_py()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise FeatureViewError(
            f"{value!r} is no value of the key {field.name}, which is {field.type}: {error}"
        ) from error


def _as_time(value: str, field: Field) -> datetime:
    try:
        return datetime.fromisoformat(value)
    except ValueError as error:
        raise FeatureViewError(f"{value!r} is no time, and the key {field.name} is one.") from error
