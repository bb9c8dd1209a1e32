"""Queries see the tables they are given, in UTC, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from everloop.data.engine import QueryError, literal, quote
from everloop.data.sql import sql
from everloop.data.table import Table

if TYPE_CHECKING:
    from everloop.kernel.operations import Kernel

NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)


def test_times_are_utc_whatever_the_machine_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")

    found = sql("select hour(t) as h, t from times", times=Table.of({"t": [NOON]})).to_arrow().to_pylist()

    assert found == [{"h": 12, "t": NOON}]


def test_stored_and_unstored_tables_join(kernel: Kernel) -> None:
    stored = Table.of({"k": [1, 2], "a": ["x", "y"]}).store(kernel.objects)

    found = sql("select a, b from l join r using (k)", l=stored, r=Table.of({"k": [2], "b": [0.5]}))

    assert found.to_arrow().to_pylist() == [{"a": "y", "b": 0.5}]


def test_an_as_of_join_takes_the_last_row_before() -> None:
    hours = Table.of({"t": [1, 5, 9], "w": ["a", "b", "c"]})

    found = sql(
        "select w from e asof left join h on e.t >= h.t order by e.t", e=Table.of({"t": [0, 6, 9]}), h=hours
    )

    assert found.to_arrow()["w"].to_pylist() == [None, "b", "c"]


def test_a_query_that_is_wrong_names_the_tables_it_could_use() -> None:
    with pytest.raises(QueryError, match="Tables in this query: rows") as caught:
        sql("select nothing from rows", rows=Table.of({"a": [1]}))

    assert caught.value.subject == "select nothing from rows"


@pytest.mark.parametrize("name", ['a"b', "select", "Ünï", "a; drop table x"])
def test_any_name_can_be_quoted(name: str) -> None:
    rows = Table.of({name: [1]})

    assert sql(f"select {quote(name)} + 1 as n from rows", rows=rows).to_arrow()["n"].to_pylist() == [2]


@pytest.mark.parametrize("value", ["it's", "'; --", 3, -0.5, True])
def test_any_plain_value_can_be_written(value: object) -> None:
    assert sql(f"select {literal(value)} as v").to_arrow()["v"][0].as_py() == value
