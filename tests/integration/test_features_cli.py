"""`everloop features` as a user types them, and the same through a server."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result

import everloop
from everloop.cli import everloop as command

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.conftest import Server

pytestmark = pytest.mark.integration

VIEW = {
    "name": "weather",
    "source": "weather",
    "keys": ["city", "n"],
    "features": {"temp": "temp", "warm": "temp > 4"},
    "event_time": "day",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rows.csv").write_text(
        "city,n,day,temp\nBern,1,2024-01-01,3.0\nBern,1,2024-01-03,5.0\nBiel,2,2024-01-01,1.5\n"
    )
    (tmp_path / "view.json").write_text(json.dumps(VIEW))
    return tmp_path


def run(folder: Path, *arguments: object) -> Result:
    return CliRunner().invoke(command, ["--home", str(folder / "home"), *map(str, arguments)])


def test_a_view_is_saved_materialised_looked_up_and_compared(folder: Path) -> None:
    run(folder, "data", "add", "weather", folder / "rows.csv", "--event-time", "day")
    saved = run(folder, "features", "save", folder / "view.json")
    assert saved.exit_code == 0, saved.output
    assert "weather@v1" in saved.output
    assert "unchanged" in run(folder, "features", "save", folder / "view.json").output
    assert "no online rows" in run(folder, "features", "show", "weather").output

    made = run(folder, "features", "materialize", "weather")
    assert made.exit_code == 0, made.output
    assert "unchanged" in run(folder, "features", "materialize", "weather").output
    found = run(folder, "-o", "json", "features", "get", "weather", "Bern,1", "Thun,1")
    assert json.loads(found.output) == [
        {"city": "Bern", "n": 1, "temp": 5.0, "warm": True},
        {"city": "Thun", "n": 1, "temp": None, "warm": None},
    ]
    compared = run(folder, "features", "parity", "weather")
    assert (compared.exit_code, "2 compared, 0 differ" in compared.output) == (0, True)
    assert "weather@v1" in run(folder, "features", "list").output
    assert run(folder, "features", "follow", "weather").exit_code == 0
    assert run(folder, "features", "unfollow", "weather").exit_code == 0
    assert "compared" in run(folder, "features", "show", "weather").output


def test_a_file_that_is_no_view_is_refused(folder: Path) -> None:
    (folder / "view.json").write_text('{"name": 3}')

    refused = run(folder, "features", "save", folder / "view.json")

    assert "is no feature view" in str(refused.exception)


def test_features_through_a_server(api_server: Server) -> None:
    with everloop.connect(api_server.url, token=api_server.token) as app:
        now = datetime.now(UTC)
        keys = [f"k {number}" for number in range(450)]
        times = pa.array([now - timedelta(hours=1)] * 450, pa.timestamp("us", tz="UTC"))
        app.data.add("remote_weather", pa.table({"city": keys, "day": times, "temp": list(range(450))}))
        view = everloop.FeatureView(
            name="remote_weather",
            source="remote_weather",
            keys=["city"],
            features={"temp": "temp", "day": "day"},
            event_time="day",
        )
        assert app.data.save_view(view).ref == "remote_weather@v1"
        assert app.data.materialize("remote_weather").keys == 450

        found = app.data.online("remote_weather", ["nowhere", *keys]).to_arrow()

        assert found.column("temp").to_pylist() == [None, *range(450)]
        assert found.column("day").to_pylist()[1] == times[0].as_py()
        assert app.data.parity("remote_weather", sample=50).is_same
        later = now + timedelta(days=1)
        asked = {"city": ["k 7"], "at": [later]}
        assert app.data.training_rows(asked, ["remote_weather"], time="at").to_arrow()[
            "temp"
        ].to_pylist() == [7]
