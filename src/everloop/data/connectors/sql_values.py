"""Types that PostgreSQL states for the columns of a result, and its values in a form that Arrow takes.

ADBC gives the same types.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pyarrow as pa

_UTC = pa.timestamp("us", tz="UTC")
# By PostgreSQL's own numbers of its types (pg_type.dat); what is not here is text.
_POSTGRES = {
    16: pa.bool_(), 17: pa.binary(), 20: pa.int64(), 21: pa.int16(), 23: pa.int32(), 26: pa.int64(),
    700: pa.float32(), 701: pa.float64(), 1700: pa.float64(),
    1082: pa.date32(), 1083: pa.time64("us"), 1114: pa.timestamp("us"), 1184: _UTC,
    1000: pa.list_(pa.bool_()), 1005: pa.list_(pa.int16()), 1007: pa.list_(pa.int32()), 1016: pa.list_(pa.int64()),
    1021: pa.list_(pa.float32()), 1022: pa.list_(pa.float64()), 1231: pa.list_(pa.float64()),
    1009: pa.list_(pa.string()), 1015: pa.list_(pa.string()),
}  # fmt: skip


def declared_types(cursor: Any, count: int) -> list[Any]:  # noqa: ANN401 - a cursor of any driver
    """Return the Arrow type of each column where the driver is PostgreSQL's, else None for each."""
    if type(cursor).__module__.partition(".")[0] != "psycopg" or cursor.description is None:
        return [None] * count
    return [_POSTGRES.get(column.type_code, pa.string()) for column in cursor.description]


def plain(value: Any, kind: Any) -> Any:  # noqa: ANN401 - a value of a driver, an Arrow type
    """Return a value of a driver as one that Arrow takes for the type."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, memoryview):
        return bytes(value)
    if isinstance(value, list):
        return [plain(item, kind) for item in value] if kind != pa.string() else json.dumps(value)
    if kind == pa.string() and value is not None and not isinstance(value, str):
        return (
            json.dumps(value, ensure_ascii=False)
            if isinstance(value, dict | bool | int | float)
            else str(value)
        )
    return value
