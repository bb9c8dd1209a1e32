"""Turn rows into the matrix a model reads, the same way at training, in the gateway and in batches.

`codes`: every column is a float; a category is its place in the signature's table, missing and unknown ones are NaN.
`values`: an object matrix with the plain values, for models that encode by themselves.
Unknown categories are counted, because silence about them hides broken data. Tests: tests/unit/registry/test_model.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from everloop.registry.columns import as_arrow, plain_values, select

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from everloop.registry.columns import Values
    from everloop.registry.records import Column, Scalar, Signature

Matrix: TypeAlias = NDArray[Any]
Encoding = Literal["codes", "values"]
_NAN = float("nan")


class Encoded(NamedTuple):
    """A matrix (n, k), and for each column with unknown categories how many cells had one."""

    matrix: Matrix
    unknown: dict[str, int]


class Encoder:
    """Encodes rows and tables for one signature. Holds no state of a call; threads may share it."""

    def __init__(self, signature: Signature, encoding: Encoding) -> None:
        self._columns = signature.inputs
        self._dtype: type = np.float64
        self._tables: list[tuple[int, dict[Scalar, float]]] = []
        if encoding == "codes":
            self._tables = [
                (place, {value: float(code) for code, value in enumerate(column.categories)})
                for place, column in enumerate(self._columns)
                if column.categories is not None
            ]
        elif any(column.kind in ("string", "boolean") or column.categories for column in self._columns):
            self._dtype = object

    def rows(self, rows: Iterable[Sequence[Scalar | None]]) -> Encoded:
        """Encode rows whose values stand in the order of the signature."""
        if not self._tables:
            return Encoded(self._matrix(list(rows)), {})
        unknown: dict[str, int] = {}
        coded: list[Sequence[Scalar | None]] = [self._codes(row, unknown) for row in rows]
        return Encoded(self._matrix(coded), unknown)

    def table(self, table: object) -> Encoded:
        """Encode a table by column names.

        Raises:
            MissingColumnError: the table lacks a column of the signature.
        """
        chosen = select(as_arrow(table), [column.name for column in self._columns])
        unknown: dict[str, int] = {}
        matrix: Matrix = np.empty((chosen.num_rows, len(self._columns)), dtype=self._dtype)
        coded = {place for place, _ in self._tables}
        for place, column in enumerate(self._columns):
            values = plain_values(chosen.column(column.name))
            matrix[:, place] = (
                _category_codes(values, column, unknown) if place in coded else self._plain(values)
            )
        return Encoded(matrix, unknown)

    def _matrix(self, rows: list[Sequence[Scalar | None]]) -> Matrix:
        # numpy reads None as NaN when the type is float
        return np.array(rows, dtype=self._dtype).reshape(len(rows), len(self._columns))

    def _codes(self, row: Sequence[Scalar | None], unknown: dict[str, int]) -> list[Scalar | None]:
        values = list(row)
        for place, table in self._tables:
            value = values[place]
            code = _NAN if value is None else table.get(value)
            if code is None:
                name = self._columns[place].name
                unknown[name] = unknown.get(name, 0) + 1
                code = _NAN
            values[place] = code
        return values

    def _plain(self, values: Values) -> Matrix:
        if self._dtype is object:
            return np.array([*values.to_pylist(), None], dtype=object)[:-1]
        return _floats(values)


def _floats(values: Values) -> NDArray[np.float64]:
    whole = values.cast(pa.int8()) if pa.types.is_boolean(values.type) else values
    # Arrow gives NaN for a null when it turns floats into numpy
    return np.asarray(whole.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)


def _category_codes(values: Values, column: Column, unknown: dict[str, int]) -> NDArray[np.float64]:
    known: pa.Array[Any] = pa.array(cast("list[Any]", column.categories or []))
    codes = pc.index_in(values.cast(known.type), value_set=known)
    strange = codes.null_count - values.null_count
    if strange:
        unknown[column.name] = strange
    return _floats(cast("Values", codes))
