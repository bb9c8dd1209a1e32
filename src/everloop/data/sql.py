"""SQL over tables, as the user writes it. Tests: tests/unit/data/test_table.py."""

from __future__ import annotations

from everloop.data.engine import run_query
from everloop.data.table import Table


def sql(query: str, **tables: Table) -> Table:
    """Return the result of a query in DuckDB's SQL over the given tables, as a table in memory.

    Each keyword is the name of a table in the query. Rows of a table come in its order; as in any SQL, only
    ORDER BY promises an order after joins and aggregates. Times are UTC.

    Raises:
        QueryError: the query is wrong; the message is DuckDB's.
    """
    return Table(arrow=run_query(query, **tables))
