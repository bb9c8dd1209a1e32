"""A table is a value: same rows, same digest, in memory, stored, pickled, or as the result of a query."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from everloop.core.errors import EverloopError
from everloop.data import table as module
from everloop.data.engine import QueryError
from everloop.data.sql import sql
from everloop.data.table import Table, UnboundTableError, use_objects

if TYPE_CHECKING:
    from everloop.kernel.operations import Kernel

ROWS = pa.table({"id": [1, 2, 3], "dest": ["BOS", None, "JFK"]})


def test_a_stored_table_has_the_digest_and_rows_of_the_one_in_memory(kernel: Kernel) -> None:
    memory = Table(arrow=ROWS)
    stored = memory.store(kernel.objects)

    assert stored == memory
    assert stored.to_arrow().equals(ROWS)
    assert stored.to_arrow(["dest"]).column_names == ["dest"]
    assert stored.to_polars().shape == (3, 2)
    assert stored.to_pandas()["id"].tolist() == [1, 2, 3]


def test_a_table_without_rows_is_stored_with_its_columns(kernel: Kernel) -> None:
    stored = Table(arrow=ROWS.slice(0, 0)).store(kernel.objects)

    assert (stored.num_rows, stored.to_arrow().schema) == (0, ROWS.schema)
    assert stored.sql("SELECT count(*) AS n FROM this").to_arrow().to_pylist() == [{"n": 0}]


def test_a_pickled_table_is_its_reference_and_reads_from_the_process_store(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_process", {})
    stored = Table(arrow=ROWS).store(kernel.objects)
    again = pickle.loads(pickle.dumps(stored))  # noqa: S301 - our own bytes

    with pytest.raises(UnboundTableError):
        again.to_arrow()
    use_objects(kernel.objects)
    assert again.to_arrow().equals(ROWS)


def test_a_query_joins_tables_by_their_names(kernel: Kernel) -> None:
    flights = Table(arrow=pa.table({"id": [2, 1], "t": [20, 10]})).store(kernel.objects)
    weather = Table(arrow=pa.table({"t": [5, 15], "temp": [1.0, 2.0]}))

    joined = sql(
        "SELECT id, temp FROM flights ASOF LEFT JOIN weather USING (t) ORDER BY id",
        flights=flights,
        weather=weather,
    )

    assert joined.to_arrow().to_pylist() == [{"id": 1, "temp": 1.0}, {"id": 2, "temp": 2.0}]


def test_a_wrong_query_names_the_tables_there_are() -> None:
    with pytest.raises(QueryError, match=r"Tables in this query: rows\.") as caught:
        sql("SELECT * FROM nothing", rows=Table(arrow=ROWS))
    assert isinstance(caught.value, EverloopError)


def test_a_repr_shows_no_rows() -> None:
    assert "BOS" not in repr(Table(arrow=ROWS))
