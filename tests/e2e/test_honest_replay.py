"""The replay reads nothing before its time: a planted future changes nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from everloop.app import connect
from everloop.cli.demo.flights import FIRST_DAY, HOME_OF_FLIGHTS, World, days, next_midnight, open_world
from everloop.loop.facts import newest_time, training_tables

if TYPE_CHECKING:
    from pathlib import Path

    from everloop.app import App

NOW = datetime(2013, 3, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def world() -> World:
    return open_world()


@pytest.fixture
def app(tmp_path: Path) -> App:
    return connect(home=tmp_path / ".everloop", simulate_from=NOW)


def _rows(*times: datetime) -> pa.Table:
    return pa.table({"time": pa.array(times, pa.timestamp("us", "UTC")), "late": list(range(len(times)))})


def test_the_world_gives_no_flight_and_no_weather_after_the_end_asked_for(world: World) -> None:
    start = datetime(2013, 7, 4, tzinfo=HOME_OF_FLIGHTS)
    end = next_midnight(start)
    for table, column in (
        (world.planned(start, end), "time"),
        (world.flown(start, end), "time"),
        (world.weather(start, end), "hour"),
    ):
        times = [moment for moment in table[column].to_pylist() if isinstance(moment, datetime)]
        assert len(times) == table.num_rows
        assert min(times) >= start
        assert max(times) < end


def test_what_is_sent_to_be_scored_says_nothing_about_how_the_flight_went(world: World) -> None:
    columns = set(world.planned(FIRST_DAY, next_midnight(FIRST_DAY)).column_names)
    assert not columns & {"late", "arr_delay", "dep_delay", "dep_time", "arr_time", "air_time"}


def test_every_day_of_the_year_is_played_once(world: World) -> None:
    year = list(days(FIRST_DAY, FIRST_DAY + timedelta(days=365)))
    assert len(year) == 365
    assert sum(world.planned(day, next_midnight(day)).num_rows for day in year) == 336_776


def test_training_reads_no_row_after_the_cut_though_the_future_is_planted(app: App) -> None:
    past, future = NOW - timedelta(days=20), NOW + timedelta(days=100)
    app.data.add("flights", _rows(past, NOW - timedelta(days=2), future), event_time="time")
    tables = training_tables(app.data, {"flights": "flights@v1"}, NOW - timedelta(days=10))
    assert tables["flights"].to_arrow()["time"].to_pylist() == [past]
    assert newest_time(app.data, {"flights": "flights@v1"}, tables) == past
    app.close()
