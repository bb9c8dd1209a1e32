"""The one schema object, and column types that behave the same on SQLite and PostgreSQL.

Every stage declares its tables on `metadata` in its `tables.py`. Tests: tests/unit/kernel/test_catalog.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator

from everloop.core.clock import from_microseconds, to_microseconds

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.engine import Dialect

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class TimeType(TypeDecorator["datetime"]):
    """An aware datetime, stored as whole microseconds since 1970 so that both databases sort and compare it alike."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Turn the datetime into microseconds."""
        del dialect
        return None if value is None else to_microseconds(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ANN401 - SQLAlchemy's signature
        """Turn microseconds into the datetime."""
        del dialect
        return None if value is None else from_microseconds(int(value))


class Json(TypeDecorator[Any]):
    """A msgspec value of one type, stored as JSON text with sorted keys."""

    impl = sa.Text
    cache_ok = True

    def __init__(self, kind: Any = object) -> None:  # noqa: ANN401 - any type msgspec can decode
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ANN401
        """Encode the value."""
        del dialect
        if value is None:
            return None
        plain = msgspec.to_builtins(value, str_keys=True)
        return msgspec.json.encode(plain, order="deterministic").decode()

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:  # noqa: ANN401
        """Decode the value into the declared type."""
        del dialect
        if value is None:
            return None
        return msgspec.json.decode(value, type=Any if self.kind is object else self.kind)


Time = TimeType()
