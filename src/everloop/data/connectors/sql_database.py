"""What a query is read from; one implementation for ADBC and one for SQLAlchemy.

Tests: tests/integration/test_connectors.py.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

Cursor = int | float | str | date | datetime


class Database(Protocol):
    """A database as far as reading a query needs it. `description` names it without secrets."""

    description: str

    def read(
        self, query: str, *, cursor_column: str | None, after: Cursor | None, batch_rows: int
    ) -> Iterator[pa.Table]:
        """Yield the rows, at least one table even without rows; those of a cursor column in its order."""
        ...
