"""Replay a year: each simulated day flights are scored over HTTP, labels arrive late, and the platform acts by itself.

Everything goes through the public API: `everloop.connect`, the HTTP gateway, and the user's file `loop.py`. The future stays in `World`; what
is sent for a day has happened by its end. A replay that was stopped goes on after the last whole day. Tests: tests/e2e/test_demo.py.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import urllib3

from everloop.cli.demo.flights import FIRST_DAY, HOME_OF_FLIGHTS, LABEL_DELAY, LAST_DAY, days, next_midnight
from everloop.core.errors import EverloopError, error_from_problem
from everloop.core.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

    import pyarrow as pa

    from everloop.app import App
    from everloop.cli.demo.flights import World
    from everloop.kernel.settings import Settings

MODEL = "delays"
START = datetime(2013, 2, 1, tzinfo=HOME_OF_FLIGHTS)
END = LAST_DAY + timedelta(days=1)
# What flew is added to the datasets once a week.
_WEEK = timedelta(days=7)
# So many rows of each day go alone, so that the latency of single rows is real.
_SINGLE_ROWS = 4


class Progress(msgspec.Struct):
    """How far the replay has come; kept in the home after each day.

    Attributes:
        done_until: end of the last whole day.
        flown_until: flights before this are in the dataset.
    """

    done_until: datetime
    flown_until: datetime


class GatewayClient:
    """Speaks to the gateway over a kept connection."""

    def __init__(self, settings: Settings) -> None:
        # A connection that slept while a model trained may be closed: such a request goes again, its ids make it one.
        retries = urllib3.Retry(3, backoff_factor=0.1, allowed_methods=None, status=0)
        self._pool = urllib3.HTTPConnectionPool(
            settings.gateway_host, settings.gateway_port, timeout=60, retries=retries
        )
        self.single_row_s: list[float] = []

    def predict(self, rows: pa.Table) -> None:
        """Score rows in one request; the flights' ids and times go with them."""
        plain = rows.drop_columns(["id", "time"])
        body = {
            "columns": plain.to_pydict(),
            "ids": rows["id"].to_pylist(),
            "times": rows["time"].to_pylist(),
            "sticky": rows["id"].to_pylist(),
        }
        began = time.perf_counter()
        self._send(f"/predict/{MODEL}", body)
        if rows.num_rows == 1:
            self.single_row_s.append(time.perf_counter() - began)

    def label(self, outcomes: pa.Table) -> None:
        """Send outcomes by prediction id."""
        if outcomes.num_rows:
            self._send(
                f"/labels/{MODEL}",
                {"ids": outcomes["id"].to_pylist(), "labels": outcomes["late"].to_pylist()},
            )

    def _send(self, path: str, body: dict[str, Any]) -> None:
        headers = {"content-type": "application/json", "idempotency-key": new_id()}
        answer = self._pool.request("POST", path, body=msgspec.json.encode(body), headers=headers)
        if answer.status >= 400:  # noqa: PLR2004 - HTTP's border of errors
            raise error_from_problem(msgspec.json.decode(answer.data))


class Replay:
    """Moves the simulated time of a home and plays the world's part.

    Args:
        app: the platform, in a home with simulated time.
        world: the future.
        project: folder with the user's `loop.py`.
        move_to: sets the simulated time.
        watch: called after each pass with what to show.
    """

    def __init__(
        self,
        app: App,
        world: World,
        project: Path,
        *,
        move_to: Callable[[datetime], None],
        watch: Callable[[], None],
    ) -> None:
        self._app = app
        self._world = world
        self._module = load_user_code(project / "loop.py")
        self._move_to = move_to
        self._watch = watch
        self._file = app.kernel.home / "replay.json"
        self.client = GatewayClient(app.kernel.settings)
        self._generation = 0
        self.progress = self._load()

    @property
    def is_finished(self) -> bool:
        """Return whether the whole year was played."""
        return self.progress.done_until >= END

    def begin(self) -> None:
        """Add January, put the policy in force, and let the first version be trained and deployed."""
        self._add_flown(FIRST_DAY, START)
        self._module.start(self._app)
        self._act()

    def play(self, day: datetime) -> None:
        """Play one day: score its flights, deliver the labels due, and let the platform act."""
        end = next_midnight(day)
        self._move_to(end.astimezone(UTC))
        planned = self._world.planned(day, end)
        for index in range(min(_SINGLE_ROWS, planned.num_rows)):
            self.client.predict(planned.slice(index, 1))
        self.client.predict(planned.slice(_SINGLE_ROWS))
        self.client.label(self._world.outcomes(day - LABEL_DELAY, end - LABEL_DELAY))
        if end - self.progress.flown_until >= _WEEK + LABEL_DELAY:
            self._add_flown(self.progress.flown_until, end - LABEL_DELAY)
        self._act()
        self._keep(end)

    def remaining(self) -> list[datetime]:
        """Return the days still to play."""
        return list(days(self.progress.done_until, END))

    def _act(self) -> None:
        """Let the platform act; go on when the gateway has followed, so that a day never sees yesterday's routing."""
        self._app.tick()
        generation = self._app.serving.get(MODEL).generation
        if generation != self._generation:
            self._app.serving.wait_until_served(MODEL)
            self._generation = generation
        self._watch()

    def _add_flown(self, start: datetime, end: datetime) -> None:
        mode: Literal["replace", "append"] = "replace" if start == FIRST_DAY else "append"
        data = self._app.data
        data.add("weather", self._world.weather(start, end), mode=mode, event_time="hour")
        data.add(
            "flights", self._world.flown(start, end), suite=self._module.flights, mode=mode, event_time="time"
        )
        self.progress.flown_until = end

    def _keep(self, end: datetime) -> None:
        self.progress.done_until = end
        partial = self._file.with_suffix(".partial")
        partial.write_bytes(msgspec.json.encode(self.progress))
        partial.replace(self._file)

    def _load(self) -> Progress:
        try:
            found = msgspec.json.decode(self._file.read_bytes(), type=Progress)
        except FileNotFoundError:
            return Progress(done_until=START, flown_until=START)
        local = {
            name: getattr(found, name).astimezone(HOME_OF_FLIGHTS) for name in ("done_until", "flown_until")
        }
        return Progress(**local)


class UserCodeError(EverloopError):
    """The user's file cannot be loaded."""

    code = "demo.user-code"


def load_user_code(file: Path) -> ModuleType:
    """Import the user's file as the module `loop`, as `everloop run` does."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise UserCodeError(f"{file} is not a Python file.", subject=str(file))
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    spec.loader.exec_module(module)
    return module
