"""Filters as people write them, and what they are told when they slip."""

from __future__ import annotations

import pytest

from everloop.tracking.search.language import FilterError, parse, parse_field, parse_order
from everloop.tracking.search.tree import All, Comparison, Field, Not, Order, Some

AUC, MODEL = Field("metric", "auc"), Field("param", "model")


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("", All()),
        ("metrics.auc > 0.9", Comparison(AUC, ">", 0.9)),
        ("0.9 < metrics.auc", Comparison(AUC, ">", 0.9)),
        ("0.1 < metrics.auc <= 0.9", All((Comparison(AUC, ">", 0.1), Comparison(AUC, "<=", 0.9)))),
        ("metrics.auc > -1e3", Comparison(AUC, ">", -1000.0)),
        ('metrics["valid/auc"] != 1', Comparison(Field("metric", "valid/auc"), "!=", 1)),
        ("max(metrics.auc) >= 0.5", Comparison(Field("metric", "auc", "max"), ">=", 0.5)),
        ("params.optimizer.lr == 0.1", Comparison(Field("param", "optimizer.lr"), "==", 0.1)),
        ('params.model =~ "lgbm|xgb"', Comparison(MODEL, "=~", "lgbm|xgb")),
        ('params.model !~ "a=~b"', Comparison(MODEL, "!~", "a=~b")),
        ("params.model is None", Comparison(MODEL, "null")),
        ("params.model is not None", Comparison(MODEL, "not null")),
        ("params.model != None", Comparison(MODEL, "not null")),
        ('params.model in ("a", "b")', Comparison(MODEL, "in", ("a", "b"))),
        ('params.model not in ["a"]', Comparison(MODEL, "not in", ("a",))),
        ('"over" in note', Comparison(Field("run", "note"), "contains", "over")),
        ('"over" not in note', Comparison(Field("run", "note"), "not contains", "over")),
        ("params.debug", Comparison(Field("param", "debug"), "==", True)),
        ("not params.debug", Not(Comparison(Field("param", "debug"), "==", True))),
        ("run.status == 'failed'", Comparison(Field("run", "status"), "==", "failed")),
        ("created_at >= '1970-01-02'", Comparison(Field("run", "created_at"), ">=", 86_400_000_000)),
        ("created_at >= '1970-01-01T01:00+01:00'", Comparison(Field("run", "created_at"), ">=", 0)),
        (
            "tags.a == 'x' and (status == 'failed' or inputs.flights =~ 'v3')",
            All(
                (
                    Comparison(Field("tag", "a"), "==", "x"),
                    Some(
                        (
                            Comparison(Field("run", "status"), "==", "failed"),
                            Comparison(Field("input", "flights"), "=~", "v3"),
                        )
                    ),
                )
            ),
        ),
    ],
)
def test_a_filter_is_read_as_it_is_meant(text: str, tree: object) -> None:
    assert parse(text) == tree


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("metrics.auc >", 14, "invalid syntax"),
        ("metrics.auc > 0.9 and statos == 'x'", 23, "did you mean status"),
        ("metrics.auc > other", 15, "value"),
        ("params.a =~ '('", 13, "no regular expression"),
        ("created_at > 'soon'", 14, "no date"),
        ("__import__('os')", 1, "a field"),
        ("models.auc > 1", 1, "begins with one of metrics"),
        ("max(params.a) > 1", 1, "for metrics"),
        ("status in 'abc' and 1", 11, "list"),
        ("params.a is 3", 13, "None"),
        ("params.a + 1 > 2", 1, "a field"),
        ("lambda: 1", 1, "a field"),
        ("params.a == [x for x in y]", 13, "value"),
        ("'", 1, "unterminated"),
    ],
)
def test_a_slip_is_shown_with_its_place(text: str, column: int, reason: str) -> None:
    with pytest.raises(FilterError, match=reason) as caught:
        parse(text)
    assert abs(int(str(caught.value.details["column"])) - column) <= 1
    assert text[:20] in str(caught.value)


def test_very_long_and_very_deep_filters_are_refused() -> None:
    with pytest.raises(FilterError, match="characters"):
        parse("params.a == 1 or " * 1000 + "params.a == 1")
    with pytest.raises(FilterError, match="inside each other|nested|recursion|stack"):
        parse("not " * 500 + "params.a")


def test_fields_are_written_as_they_are_read() -> None:
    for text in ("metrics.auc", "metrics['valid/auc']", "max(metrics.auc)", "params.optimizer.lr", "status"):
        assert str(parse_field(text)) == text


def test_an_order_names_each_field_once() -> None:
    assert parse_order(["metrics.auc desc", "created_at"]) == [
        Order(AUC, True),
        Order(Field("run", "created_at")),
    ]
    assert parse_order(["metrics['a desc'] ASC"]) == [Order(Field("metric", "a desc"))]
    with pytest.raises(FilterError, match="twice"):
        parse_order(["metrics.auc", "metrics.auc desc"])
