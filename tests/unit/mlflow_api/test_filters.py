"""MLflow's filters become our tree, or are refused with the place."""

from __future__ import annotations

import pytest

from everloop.mlflow_api.errors import BadParameterError
from everloop.mlflow_api.filters import Clause, as_tree, choose, orders, parse, run_orders
from everloop.mlflow_api.pages import page
from everloop.tracking.search.tree import All, Comparison, Field, Order, Some


@pytest.mark.parametrize(
    ("text", "clause"),
    [
        ("metrics.auc > 0.9", Clause("metric", "auc", ">", 0.9)),
        ("metric.`a b` <= -1e3", Clause("metric", "a b", "<=", -1000.0)),
        ('params."x-y" = "z"', Clause("param", "x-y", "=", "z")),
        ("parameters.x ILIKE '%it''s%'", Clause("param", "x", "ILIKE", "%it's%")),
        ("tags.mlflow.parentRunId != ''", Clause("tag", "mlflow.parentRunId", "!=", "")),
        ("tags.`a.b` is  not null", Clause("tag", "a.b", "IS NOT NULL", None)),
        ("attributes.run_id IN ('a', \"b\" ,'c')", Clause("attribute", "run_id", "IN", ("a", "b", "c"))),
        ("status NOT IN ('x')", Clause("attribute", "status", "NOT IN", ("x",))),
        ("run.start_time>=5", Clause("attribute", "start_time", ">=", 5.0)),
        ("datasets.name='d'", Clause("dataset", "name", "=", "d")),
    ],
)
def test_a_comparison_is_read(text: str, clause: Clause) -> None:
    assert parse(text) == [clause]


def test_comparisons_are_joined_by_and_and_words_in_texts_are_texts() -> None:
    assert parse("  params.a = 'x AND y' and metrics.android > 1 AND tags.b = 'c'  ") == [
        Clause("param", "a", "=", "x AND y"),
        Clause("metric", "android", ">", 1.0),
        Clause("tag", "b", "=", "c"),
    ]
    assert parse("  ") == []


@pytest.mark.parametrize(
    "text",
    ["metrics.a", "metrics.a >", "metrics.a > 1 OR metrics.b > 2", "a.b.c.d", "x = 'y' z", "nothing.a = 'b'", "params.a = 'x",
     "params.a IN ()", "params.a IN ('b'", "params.a IN (3)", "metrics.a > 1e", "metrics.`a > 1", "= 3", "AND", "params.a = x"],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(BadParameterError):
        [as_tree(clause) for clause in parse(text)]


@pytest.mark.parametrize(
    "text",
    ["metrics.a = 'x'", "metrics.a LIKE 'x'", "params.a = 3", "params.a > 'x'", "tags.a >= 'b'", "attributes.nothing = 'x'",
     "start_time = 'x'", "start_time LIKE 'x'", "status > 'x'"],
)  # fmt: skip
def test_an_operator_or_a_value_that_does_not_fit_is_refused(text: str) -> None:
    with pytest.raises(BadParameterError):
        as_tree(parse(text)[0])


def test_a_filter_of_a_megabyte_is_refused_at_once() -> None:
    with pytest.raises(BadParameterError, match="characters"):
        parse("params.a = 'b' AND " * 60_000)


def test_trees_have_our_operators() -> None:
    assert as_tree(Clause("metric", "a", "=", 1.0)) == Comparison(Field("metric", "a"), "==", 1.0)
    assert as_tree(Clause("param", "a", "LIKE", "x_%")) == Comparison(
        Field("param", "a"), "=~", "(?s)^x..*\\Z"
    )
    assert as_tree(Clause("tag", "a", "IS NULL", None)) == Comparison(Field("tag", "a"), "null", None)
    assert as_tree(Clause("attribute", "status", "=", "FINISHED")) == Comparison(
        Field("run", "status"), "==", "finished"
    )


def test_times_are_compared_in_whole_milliseconds() -> None:
    created = Field("run", "created_at")

    assert as_tree(Clause("attribute", "start_time", "=", 5.0)) == All(
        (Comparison(created, ">=", 5000.0), Comparison(created, "<", 6000.0))
    )
    assert as_tree(Clause("attribute", "start_time", "!=", 5.0)) == Some(
        (Comparison(created, "<", 5000.0), Comparison(created, ">=", 6000.0))
    )
    assert as_tree(Clause("attribute", "start_time", ">", 5.0)) == Comparison(created, ">=", 6000.0)
    assert as_tree(Clause("attribute", "start_time", "<=", 5.0)) == Comparison(created, "<", 6000.0)


def test_orders_are_read_and_a_key_comes_once() -> None:
    assert orders(["metrics.`a b` DESC", "name"]) == [("metric", "a b", True), ("attribute", "name", False)]
    assert run_orders([]) == [Order(Field("run", "created_at"), is_descending=True)]
    assert run_orders(["params.x asc"]) == [Order(Field("param", "x"))]
    for bad in (["a", "a DESC"], [""], ["metrics.a DOWN"], ["attributes.nothing"]):
        with pytest.raises(BadParameterError):
            run_orders(bad)


def test_things_in_memory_are_chosen_and_sorted_with_missing_values_last() -> None:
    things: list[dict[str, str | float]] = [{"n": 1.0}, {"n": 3.0, "t": "b"}, {"n": 2.0, "t": "a"}]

    def value(thing: dict[str, str | float], kind: str, key: str) -> str | float | None:
        del kind
        return thing.get(key)

    assert choose(things, "n > 1", ["t DESC"], value) == [things[1], things[2]]
    assert choose(things, "", ["t"], value) == [things[2], things[1], things[0]]
    assert choose(things, "t IS NULL", [], value) == [things[0]]
    assert choose(things, "t ILIKE 'B'", [], value) == [things[1]]


def test_pages_go_on_where_they_ended() -> None:
    first, mark = page(range(5), limit=3, token="")
    second, end = page(range(5), limit=3, token=mark)

    assert ([*first], [*second], end) == ([0, 1, 2], [3, 4], "")
    for bad in ("x", "YXQ6eA==", "é"):
        with pytest.raises(BadParameterError):
            page(range(5), limit=3, token=bad)
