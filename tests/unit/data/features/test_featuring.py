"""Saved views, online rows that follow the source by what changed, and the check that both are the same."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from everloop.core.actors import Actor, acting_as
from everloop.core.durations import InvalidDurationError
from everloop.core.errors import PermissionDeniedError
from everloop.data.features import queries
from everloop.data.features.errors import (
    FeatureViewError,
    MaterializationSupersededError,
    NotMaterializedError,
    OnlinePastError,
    ViewNotFoundError,
)
from everloop.data.features.records import FeatureView
from everloop.data.features.tables import feature_row
from everloop.data.service import Data

if TYPE_CHECKING:
    from tests.conftest import MakeKernel

    from everloop.core.clock import ManualClock

START = datetime(2013, 2, 1, tzinfo=UTC)
UTC_TIME = pa.timestamp("us", tz="UTC")


def at(*hours: float) -> Any:
    return pa.array([START + timedelta(hours=hour) for hour in hours], UTC_TIME)


def view(**changes: Any) -> FeatureView:
    given = {"name": "w", "source": "weather", "keys": ["k"], "features": {"temp": "temp"}, "event_time": "t"}
    return FeatureView(**{**given, **changes})


ROWS = pa.table({"k": ["a", "a", "b"], "t": at(-3, -1, -2), "temp": [1.0, 3.0, 2.0]})


@pytest.fixture
def data(make_kernel: MakeKernel, clock: ManualClock, catalog_url: str) -> Data:
    """Be a data stage at noon, on each database."""
    found = Data(make_kernel(clock=clock, catalog_url=catalog_url))
    found.add("weather", ROWS, event_time="t")
    return found


def temps(data: Data, *keys: object, name: str = "w", **given: Any) -> list[Any]:
    return data.online(name, keys, **given).to_arrow().column("temp").to_pylist()


def test_a_changed_definition_makes_a_new_version_and_the_same_none(data: Data) -> None:
    first = data.save_view(view())
    again = data.save_view(view())
    other = data.save_view(view(features={"warm": "temp > 2", "temp": "temp"}))

    assert (first.ref, again.ref, again.is_unchanged, other.ref) == ("w@v1", "w@v1", True, "w@v2")
    assert data.view("w@v1").definition == view()
    assert list(data.view("w").definition.features) == ["warm", "temp"]
    assert [one.version for one in data.view_versions("w")] == [2, 1]
    assert [one.ref for one in data.views()] == ["w@v2"]
    events = data.kernel.events
    events.seal()
    assert [(event.kind, event.subject) for event in events.read(kinds=["feature.saved"])] == [
        ("feature.saved", "feature-view:w@v1"),
        ("feature.saved", "feature-view:w@v2"),
    ]


def test_a_view_that_does_not_fit_is_not_saved(data: Data) -> None:
    for wrong in (
        view(features={"x": "nothing + 1"}),
        view(where="nothing > 1"),
        view(keys=["nothing"]),
        view(event_time="temp"),
        view(ttl="soon"),
        view(name="w@v3"),
        view(keys=[]),
    ):
        with pytest.raises((FeatureViewError, InvalidDurationError)):
            data.save_view(wrong)
    assert data.views() == []
    with pytest.raises(ViewNotFoundError, match="no feature view w"):
        data.view("w")


def test_saved_views_join_by_name(data: Data) -> None:
    data.save_view(view())
    entities = pa.table({"k": ["b", "a"], "at": at(0, -2)})

    assert data.training_rows(entities, ["w"], time="at").to_arrow().column("temp").to_pylist() == [2.0, 1.0]


def test_look_ups_come_in_the_order_of_the_keys_with_nulls_for_what_is_absent(data: Data) -> None:
    data.save_view(view())
    with pytest.raises(NotMaterializedError, match="everloop features materialize w"):
        data.online("w", ["a"])

    found = data.materialize("w")

    assert (found.view, found.source, found.keys, found.changed) == ("w@v1", "weather@v1", 2, 2)
    assert data.online("w", ["z", "b", None, "a", "b"]).to_arrow().to_pydict() == {
        "k": ["z", "b", None, "a", "b"],
        "temp": [None, 2.0, None, 3.0, 2.0],
    }
    assert data.online("w", []).num_rows == 0
    assert temps(data, {"k": "a"}, ["b"]) == [3.0, 2.0]
    assert data.materialize("w").is_unchanged


def test_only_keys_with_changed_rows_are_computed_again(data: Data) -> None:
    data.save_view(view())
    data.materialize("w")

    data.add("weather", pa.table({"k": ["c"], "t": at(-1), "temp": [7.0]}), mode="append")
    appended = data.materialize("w")
    data.remove("weather", "k = 'a' AND temp = 3")
    removed = data.materialize("w")
    data.remove("weather", "k = 'b'")
    gone = data.materialize("w")

    assert (appended.changed, removed.changed, gone.changed) == (1, 1, 1)
    assert (appended.keys, removed.keys, gone.keys) == (3, 3, 2)
    assert temps(data, "a", "b", "c") == [1.0, None, 7.0]
    with data.kernel.catalog.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(feature_row)).scalar() == 2


def test_what_is_not_yet_known_is_served_from_the_moment_it_is(data: Data, clock: ManualClock) -> None:
    rows = {"k": ["a"] * 3, "t": at(-2, -1, 3), "known": at(-2, 2, 0), "temp": [1.0, 2.0, 3.0]}
    data.add("weather", pa.table(rows), event_time="t", known_time="known")
    data.save_view(view(known_time="known"))
    data.materialize("w")

    assert [temps(data, "a", at=START + timedelta(hours=hour))[0] for hour in (0, 1.9, 2, 2.9, 3)] == [
        1.0,
        1.0,
        2.0,
        2.0,
        3.0,
    ]
    clock.advance(2 * 3600)
    assert temps(data, "a") == [2.0]


def test_a_row_that_has_outlived_its_ttl_is_null(data: Data, clock: ManualClock) -> None:
    data.save_view(view(ttl="90m"))
    data.materialize("w")

    assert temps(data, "a", "b") == [3.0, None]
    assert temps(data, "a", at=START + timedelta(minutes=30)) == [3.0]
    clock.advance(30 * 60 + 1)
    assert temps(data, "a") == [None]


def test_a_moment_before_the_horizon_is_refused(data: Data) -> None:
    data.save_view(view())
    data.materialize("w")

    with pytest.raises(OnlinePastError, match="use training_rows"):
        data.online("w", ["a"], at=START - timedelta(hours=1))


def test_versions_of_a_view_are_served_beside_each_other(data: Data) -> None:
    data.save_view(view())
    data.materialize("w")
    data.save_view(view(features={"temp": "temp * 2"}))

    assert temps(data, "a") == [3.0]
    data.materialize("w")
    assert temps(data, "a") == [6.0]
    assert temps(data, "a", name="w@v1") == [3.0]


def test_keys_and_features_of_many_types_come_back_as_they_are(data: Data) -> None:
    rows = pa.table(
        {
            "n": pa.array([1, 2], pa.int32()),
            "day": pa.array([date(2013, 1, 1), date(2013, 1, 2)]),
            "t": at(-1, -1),
            "moment": at(-2, -3),
            "text": ["é", None],
            "price": pa.array([Decimal("1.50"), Decimal("-2.25")]),
            "many": pa.array([[1, 2], None]),
            "yes": [True, False],
            "small": pa.array([1.5, float("nan")], pa.float32()),
        }
    )
    data.add("typed", rows)
    features = {name: name for name in ("moment", "text", "price", "many", "yes", "small", "day")}
    data.save_view(view(name="typed", source="typed", keys=["n", "day"], features=features))
    data.materialize("typed")

    found = data.online("typed", [[2, "2013-01-02"], {"day": date(2013, 1, 1), "n": "1"}]).to_arrow()

    for name in ("moment", "text", "price", "many", "yes"):
        assert found.column(name).to_pylist() == rows.column(name).to_pylist()[::-1]
        assert found.schema.field(name).type == data.read("typed").schema.field(name).type
    assert found.column("typed__day").to_pylist() == [date(2013, 1, 2), date(2013, 1, 1)]
    assert str(found.column("small").to_pylist()) == "[nan, 1.5]"
    assert data.parity("typed").is_same
    with pytest.raises(FeatureViewError, match="no value of the key n"):
        data.online("typed", [["x", "2013-01-02"]])
    with pytest.raises(FeatureViewError, match="a key has 2 values"):
        data.online("typed", [1])
    with pytest.raises(FeatureViewError, match="a key has no day"):
        data.online("typed", [{"n": 1}])


def test_a_key_that_is_no_exact_value_cannot_be_looked_up(data: Data) -> None:
    data.save_view(view(keys=["temp"], features={"k": "k"}))
    with pytest.raises(FeatureViewError, match="not surely equal"):
        data.materialize("w")


def test_a_source_with_other_types_is_computed_whole(data: Data) -> None:
    data.save_view(view())
    data.materialize("w")
    data.add("weather", pa.table({"k": [1, 2], "t": at(-1, -1), "temp": ["x", "y"]}))

    found = data.materialize("w")

    assert (found.keys, found.changed) == (2, 2)
    assert temps(data, 2, "1") == ["y", "x"]


def test_a_materialisation_that_never_finished_is_not_seen_and_the_later_of_two_wins(data: Data) -> None:
    data.save_view(view())
    data.materialize("w")
    data.add("weather", pa.table({"k": ["a"], "t": at(-0.5), "temp": [9.0]}), mode="append")
    catalog = data.kernel.catalog
    with catalog.transaction() as connection:
        since, _ = queries.begin(connection, "w", 1, catalog.now(connection))
        queries.write_rows(connection, "w", 1, since, [('["a"]', b"half"), ('["q"]', b"half")])

    assert temps(data, "a", "q") == [3.0, None]
    assert data.materialize("w").changed == 1
    assert temps(data, "a", "q") == [9.0, None]
    with pytest.raises(MaterializationSupersededError), catalog.transaction() as connection:
        queries.write_rows(connection, "w", 1, since, [('["z"]', b"half")])


def test_readers_see_all_of_a_materialisation_or_nothing_of_it(data: Data) -> None:
    keys = [f"k{number}" for number in range(500)]

    def add(number: float) -> None:
        data.add("many", pa.table({"k": keys, "t": at(*[-1.0] * 500), "temp": [number] * 500}))

    add(0.0)
    data.save_view(view(source="many"))
    data.materialize("w")
    seen, done = list[set[float]](), threading.Event()

    def look() -> None:
        while not done.is_set():
            seen.append(set(temps(data, *keys)))

    reader = threading.Thread(target=look)
    reader.start()
    try:
        for number in range(1, 5):
            add(float(number))
            data.materialize("w")
    finally:
        done.set()
        reader.join()

    assert all(len(one) == 1 for one in seen)
    assert set(temps(data, *keys)) == {4.0}


def test_parity_finds_what_differs_and_keeps_it(data: Data) -> None:
    data.save_view(view())
    data.materialize("w")
    assert data.parity("w").is_same
    with data.kernel.catalog.transaction() as connection:
        a = sa.select(feature_row.c.rows).where(feature_row.c.key == '["a"]')
        b = feature_row.c.key == '["b"]'
        connection.execute(sa.update(feature_row).where(b).values(rows=connection.execute(a).scalar_one()))
        row = {"name": "w", "version": 1, "key": '["ghost"]', "since": 1}
        connection.execute(feature_row.insert().values(rows=connection.execute(a).scalar_one(), **row))

    found = [data.parity("w", seed=seed) for seed in range(4)]

    assert {(one.key[0], one.online, one.offline) for check in found for one in check.mismatches} == {
        ("b", "3.0", "2.0"),
        ("ghost", "3.0", "None"),
    }
    assert [check.id for check in data.parity_checks("w")[:4]] == [check.id for check in found[::-1]]
    data.kernel.events.seal()
    told = data.kernel.events.read(kinds=["feature.compared"])
    assert [event.payload["different"] for event in told] == [0, *(check.different for check in found)]


def test_who_may_look_up_may_not_materialise(data: Data) -> None:
    data.save_view(view())
    with acting_as(Actor(name="vera", roles=frozenset({"viewer"}))):
        assert data.view("w").version == 1
        with pytest.raises(PermissionDeniedError, match="feature.materialize"):
            data.materialize("w")
    with acting_as(Actor(name="olga", roles=frozenset({"operator"}))):
        assert data.materialize("w").keys == 2
    with acting_as(Actor(name="emil", roles=frozenset({"engineer"}))):
        assert data.parity("w").is_same


def test_a_followed_view_is_materialised_when_its_source_has_moved(data: Data) -> None:
    data.save_view(view())
    assert data.tick() == []
    data.follow("w")
    data.follow("w")

    assert [one.source for one in data.tick()] == ["weather@v1"]
    assert data.tick() == []
    data.add("weather", pa.table({"k": ["c"], "t": at(-1), "temp": [7.0]}), mode="append")
    assert [(one.source, one.changed) for one in data.tick()] == [("weather@v2", 1)]
    data.unfollow("w")
    data.add("weather", pa.table({"k": ["d"], "t": at(-1), "temp": [8.0]}), mode="append")
    assert data.tick() == []
    assert temps(data, "c", "d") == [7.0, None]
    data.kernel.events.seal()
    told = data.kernel.events.read(kinds=["feature.followed", "feature.unfollowed"])
    assert [event.kind for event in told] == ["feature.followed", "feature.unfollowed"]


def test_the_scheduler_leaves_a_materialisation_alone_until_it_is_taken_for_dead(data: Data) -> None:
    data.save_view(view())
    data.follow("w")
    catalog = data.kernel.catalog
    with catalog.transaction() as connection:
        queries.begin(connection, "w", 1, catalog.now(connection))

    assert data.tick() == []
    with catalog.transaction() as connection:
        queries.begin(connection, "w", 1, catalog.now(connection) - timedelta(minutes=11))
    assert len(data.tick()) == 1


def test_a_view_that_cannot_follow_does_not_stop_the_others(
    data: Data, caplog: pytest.LogCaptureFixture
) -> None:
    data.add("other", ROWS)
    for name, source in (("first", "weather"), ("second", "other")):
        data.save_view(view(name=name, source=source))
        data.follow(name)
    data.add("weather", pa.table({"k": ["a"], "t": at(-1), "other": [1.0]}))

    assert [one.view for one in data.tick()] == ["second@v1"]
    assert "first@v1 could not follow" in caplog.text
