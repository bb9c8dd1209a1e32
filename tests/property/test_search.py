"""A filter chooses what a slow reading of each run chooses, in any order, over any pages, also after changes."""

from __future__ import annotations

import itertools
import math
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from everloop.tracking import Tracking
from everloop.tracking.search.columns import Columns
from everloop.tracking.search.selection import Selection
from everloop.tracking.search.tree import All, Comparison, Field, Not, Order, Some
from everloop.tracking.series.columns import pack

if TYPE_CHECKING:
    from everloop.kernel.operations import Kernel
    from everloop.tracking.records import Run
    from everloop.tracking.search.tree import Tree, Value

METRICS, PARAMS, TAGS = ["loss", "auc"], ["depth", "model"], ["team"]
numbers = st.sampled_from([0.0, 1.0, -2.5, 0.5, math.nan, math.inf, -math.inf])
plain = st.sampled_from([0, 1, 3, 0.5, "1", "lgbm", "xgb", "True", True, False, None, ""])
texts = st.sampled_from(["risk", "fraud", "1", "", "Risk"])
one_run = st.fixed_dictionaries(
    {
        "metrics": st.dictionaries(st.sampled_from(METRICS), numbers),
        "params": st.dictionaries(st.sampled_from(PARAMS), plain),
        "tags": st.dictionaries(st.sampled_from(TAGS), texts),
        "experiment": st.sampled_from(["a", "b"]),
    }
)
fields = st.sampled_from(
    [
        *(Field("metric", name) for name in METRICS),
        Field("metric", "loss", "count"),
        *(Field("param", name) for name in PARAMS),
        *(Field("tag", name) for name in TAGS),
        Field("run", "experiment"),
        Field("run", "status"),
        Field("metric", "never"),
    ]
)
values = st.sampled_from([0, 1, 0.5, -2.5, 3, "1", "lgbm", "risk", "a", "running", True, False])
comparisons = st.one_of(
    st.builds(Comparison, fields, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), values),
    st.builds(Comparison, fields, st.sampled_from(["in", "not in"]), st.lists(values, max_size=3).map(tuple)),
    st.builds(Comparison, fields, st.sampled_from(["null", "not null"])),
    st.builds(Comparison, fields, st.sampled_from(["=~", "!~"]), st.sampled_from(["^l", "g", "1$", "."])),
    st.builds(
        Comparison,
        fields,
        st.sampled_from(["contains", "not contains"]),
        st.sampled_from(["S", "b", "1", ""]),
    ),
)
trees = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.builds(All, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Some, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Not, inner),
    ),
    max_leaves=5,
)


def value_of(run: Run, field: Field) -> tuple[bool, Value]:
    """Return whether a run has a value there, and the value; a metric's as a float, NaN included."""
    match field:
        case Field(kind="metric"):
            for metric in run.metrics:
                if metric.name == field.name:
                    if field.aspect == "count":
                        return True, float(metric.count)
                    return True, float(metric.mark) if metric.mark else metric.value
            return False, None
        case Field(kind="param"):
            return field.name in run.params, run.params.get(field.name)
        case Field(kind="tag"):
            return field.name in run.tags, run.tags.get(field.name)
    return True, str(getattr(run, field.name))


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def same(one: Value, other: Value) -> bool:
    if is_number(one) and is_number(other):
        return one == other
    if isinstance(one, bool) or isinstance(other, bool):
        return str(one).lower() == str(other).lower()
    if one is None:
        return False
    return str(one) == str(other)


def slowly(tree: Tree, run: Run) -> bool:  # noqa: C901, PLR0911 - one rule a line
    match tree:
        case All():
            return all(slowly(part, run) for part in tree.parts)
        case Some():
            return any(slowly(part, run) for part in tree.parts)
        case Not():
            return not slowly(tree.part, run)
    is_there, value = value_of(run, tree.field)
    sign, asked = tree.operator, tree.value
    if sign in ("null", "not null"):
        return is_there == (sign == "not null")
    if not is_there or (isinstance(value, float) and math.isnan(value)):
        return False
    if tree.field.kind == "metric" and sign in ("==", "!=", "in", "not in"):
        wanted = asked if isinstance(asked, tuple) else (asked,)
        hit = any(is_number(one) and one == value for one in wanted)
        return hit == (sign in ("==", "in"))
    if sign in ("in", "not in"):
        assert isinstance(asked, tuple)
        return any(same(value, one) for one in asked) == (sign == "in")
    if sign in ("==", "!="):
        assert not isinstance(asked, tuple)
        return same(value, asked) == (sign == "==")
    if sign in ("=~", "!~"):
        return bool(re.search(str(asked), str(value))) == (sign == "=~")
    if sign in ("contains", "not contains"):
        return (str(asked).lower() in str(value).lower()) == (sign == "contains")
    both_numbers = is_number(value) and is_number(asked)
    both_texts = isinstance(value, str) and isinstance(asked, str)
    if not (both_numbers or both_texts):
        return False
    return {"<": value < asked, "<=": value <= asked, ">": value > asked, ">=": value >= asked}[sign]  # type: ignore[operator] # of one kind


def fill(tracking: Tracking, made: list[dict[str, Any]], start: int = 0) -> None:
    for at, one in enumerate(made, start):
        run = f"r{at}"
        tracking.create_run(id=run, experiment=one["experiment"], params=one["params"], tags=one["tags"])
        tracking.log_batch(
            run, series=[pack(name, [0.0], [0], [value]) for name, value in one["metrics"].items()]
        )


@pytest.fixture
def fresh(any_kernel: Kernel) -> Tracking:
    return Tracking(any_kernel)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    made=st.lists(one_run, max_size=8),
    asked=st.lists(trees, min_size=4, max_size=12),
    orders=st.lists(st.builds(Order, fields, st.booleans()), max_size=2, unique_by=lambda one: one.field),
    size=st.integers(1, 4),
    later=st.lists(one_run, max_size=3),
)
def test_a_filter_chooses_and_orders_as_a_slow_reading_does(
    fresh: Tracking, made: list[dict[str, Any]], asked: list[Tree], orders: list[Order], size: int,
    later: list[dict[str, Any]],
) -> None:  # fmt: skip
    for run in fresh.list(limit=1000):
        fresh.delete_run(run.id)
    prefix = len(fresh.list(limit=10_000)) + fresh.count(deleted=True)
    columns = Columns(fresh.kernel.catalog)
    fill(fresh, made, prefix)
    check(fresh, columns, asked, orders, size)
    fill(fresh, later, prefix + len(made))
    if made:
        fresh.edit_run(f"r{prefix}", tags={"team": "changed"}, remove_tags=[])
        fresh.log_batch(f"r{prefix}", series=[pack("loss", [9.0], [9], [0.25])], params={"depth": 7})
    check(fresh, columns, [*asked, Comparison(Field("tag", "team"), "==", "changed")], orders, size)


def check(tracking: Tracking, columns: Columns, asked: list[Tree], orders: list[Order], size: int) -> None:
    runs = tracking.list(limit=1000)
    for tree in asked:
        with columns.lock, tracking.kernel.catalog.read() as connection:
            columns.refresh(connection)
            chosen = Selection(columns, connection, tree)
            wanted = [run for run in runs if slowly(tree, run)]
            assert chosen.count == len(wanted), tree
            found: list[int] = []
            mark = None
            while True:
                page, mark = chosen.page(orders, limit=size, after=mark)
                found += page
                if mark is None:
                    break
            assert sorted(found) == chosen.numbers.tolist()
            names = {run.id: run for run in runs}
            in_order = [names[uid] for uid in ids(connection, found)]
            for before, behind in itertools.pairwise(in_order):
                assert not comes_later(before, behind, orders), (before, behind, orders)


def ids(connection: object, numbers_: list[int]) -> list[str]:
    from everloop.tracking.queries import read_runs

    return [run.id for run in read_runs(connection, numbers_)]  # type: ignore[arg-type] # a connection


def comes_later(one: Run, other: Run, orders: list[Order]) -> bool:
    """Say whether the first run should stand behind the second."""
    for order in orders:
        mine, theirs = place(one, order), place(other, order)
        if mine != theirs:
            return mine > theirs if not order.is_descending else descending(mine, theirs)
    return False


def place(run: Run, order: Order) -> tuple[int, int, float, str]:
    """Return what a run is ordered by: numbers before texts, then NaN, then nothing."""
    is_there, value = value_of(run, order.field)
    if not is_there:
        return 2, 0, 0.0, ""
    if isinstance(value, float) and math.isnan(value):
        return 1, 0, 0.0, ""
    if is_number(value):
        assert isinstance(value, (int, float))
        return 0, 0, float(value), ""
    return 0, 1, 0.0, str(value)


def descending(mine: tuple[int, int, float, str], theirs: tuple[int, int, float, str]) -> bool:
    """Say the same where values fall; what has none stays behind."""
    if mine[0] or theirs[0]:
        return mine[0] > theirs[0]
    return mine < theirs
