"""Whatever is appended, put in place, removed or taken back: a look-up gives what the join gives at that moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from everloop.data.features.records import FeatureView
from everloop.data.service import Data

if TYPE_CHECKING:
    from tests.conftest import MakeKernel

    from everloop.core.clock import ManualClock

START = datetime(2013, 2, 1, tzinfo=UTC)
UTC_TIME = pa.timestamp("us", tz="UTC")
# Hours from the start of the world: rows of the past, late ones, and some that are known or happen later.
hours = st.integers(-6, 8)
row = st.tuples(st.integers(0, 5), st.sampled_from("ab"), hours, hours, st.none() | st.integers(0, 9))
step = st.one_of(
    st.tuples(st.just("append"), st.lists(row, min_size=1, max_size=3)),
    st.tuples(st.just("upsert"), st.lists(row, min_size=1, max_size=3)),
    st.tuples(st.just("remove"), st.integers(0, 5)),
    st.tuples(st.just("revert"), st.none()),
    st.tuples(st.just("materialize"), st.none()),
    st.tuples(st.just("wait"), st.integers(1, 4)),
)
numbers = count()


def rows_of(rows: list[tuple[Any, ...]], names: Any) -> pa.Table:
    """Make rows; `names` gives the key of each in the dataset."""
    times = [[START + timedelta(hours=one[at]) for one in rows] for at in (2, 3)]
    return pa.table(
        {
            "id": pa.array([names(one) for one in rows], pa.int64()),
            "k": pa.array([one[1] for one in rows]),
            "t": pa.array(times[0], UTC_TIME),
            "known": pa.array(times[1], UTC_TIME),
            "x": pa.array([one[4] for one in rows], pa.int64()),
        }
    )


@pytest.mark.slow
@settings(
    deadline=None,
    max_examples=20,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(step, min_size=1, max_size=7), st.sampled_from(["", "3h"]))
def test_online_is_offline(make_kernel: MakeKernel, clock: ManualClock, steps: list[Any], ttl: str) -> None:
    data = _data(make_kernel, clock)
    name = f"s{next(numbers)}"
    fresh = count(100)
    first = rows_of([(0, "a", -3, -3, 1), (1, "c", -2, 1, 2)], lambda one: one[0])
    data.add(name, first, keys=["id"], event_time="t", known_time="known")
    view = FeatureView(
        name=name,
        source=name,
        keys=["k"],
        features={"x": "x", "t": "t", "twice": "x * 2.5"},
        event_time="t",
        known_time="known",
        ttl=ttl,
    )
    data.save_view(view)
    data.materialize(name)

    for kind, what in [*steps, ("materialize", None)]:
        if kind == "append":
            data.add(name, rows_of(what, lambda _: next(fresh)), mode="append")
        elif kind == "upsert":
            unique = {one[0]: one for one in what}
            data.add(name, rows_of(list(unique.values()), lambda one: one[0]), mode="upsert")
        elif kind == "remove":
            data.remove(name, f"id = {what}")
        elif kind == "revert":
            data.revert(name, "v1")
        elif kind == "wait":
            clock.advance(what * 3600)
        else:
            data.materialize(name)
        _compare(data, view, clock.now())

    assert data.parity(name, sample=20).is_same
    state = data.materialization(name)
    assert state is not None
    assert state.source == data.version(name).ref


def _compare(data: Data, view: FeatureView, now: datetime) -> None:
    state = data.materialization(view.name)
    assert state is not None
    source = msgspec.structs.replace(view, source=state.source)
    for later in (0, 2, 9):
        at = max(now, state.horizon) + timedelta(hours=later)
        asked = pa.table({"k": ["c", "a", "z", "b"], "at": pa.array([at] * 4, UTC_TIME)})
        expected = data.training_rows(asked, [source], time="at").to_arrow().drop_columns(["at"])
        assert data.online(view.name, ["c", "a", "z", "b"], at=at).to_arrow().equals(expected)


_held: dict[int, Data] = {}


def _data(make_kernel: MakeKernel, clock: ManualClock) -> Data:
    """Return one home for all examples of a test."""
    if id(make_kernel) not in _held:
        _held[id(make_kernel)] = Data(make_kernel(clock=clock))
    return _held[id(make_kernel)]
