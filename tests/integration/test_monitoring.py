"""Windows are closed, judged, restated and told to alerting once each, whoever ticks and whenever it is killed."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from everloop.alerting import Alerting
from everloop.cli import everloop
from everloop.core.clock import ManualClock, to_microseconds
from everloop.data.service import Data
from everloop.evaluation import Evaluation
from everloop.monitoring import store
from everloop.monitoring.records import Monitor
from everloop.monitoring.service import Monitoring
from everloop.monitoring.skew import NoSkewRowsError
from everloop.monitoring.store import MonitorNotFoundError, ReportNotFoundError
from everloop.monitoring.tables import roots
from everloop.registry import Model, Registry
from everloop.registry.records import Condition, Gate
from everloop.serving import Serving
from everloop.serving.frames import SegmentWriter
from everloop.serving.prediction_log import PredictionFrame, log_folder

if TYPE_CHECKING:
    from tests.conftest import MakeKernel

    from everloop.kernel import Kernel

pytestmark = pytest.mark.integration

START = datetime(2013, 2, 1, tzinfo=UTC)
WEEK = timedelta(days=7)
DAY = timedelta(days=1)
A_DAY = 300
MONITOR = Monitor(tolerance=0.02, min_labelled=300, max_wait="7d")


class World:
    """A platform in simulated time, and the customers of its one deployment.

    The model answers the true probability of the label while `wrong` is 0; of the share `wrong` of the rows the label is the
    opposite of what it would have been.
    """

    def __init__(self, kernel: Kernel, clock: ManualClock) -> None:
        self.kernel = kernel
        self.clock = clock
        evaluation = Evaluation(kernel)
        self.registry = Registry(kernel, evaluation=evaluation)
        self.serving = Serving(kernel, registry=self.registry)
        self.alerting = Alerting(kernel)
        self.monitoring = Monitoring(
            kernel, data=Data(kernel), registry=self.registry, serving=self.serving, alerting=self.alerting
        )
        self.generator = np.random.default_rng(0)
        self.labels: dict[datetime, tuple[list[str], list[bool]]] = {}

    def deploy(self, version: int) -> None:
        """Let a version answer everything; versions are made in order."""
        self.registry.register("m", model(version))
        self.serving.deploy("m", f"m@v{version}")

    def serve(self, day: datetime, *, rows: int = A_DAY, shift: float = 0.0, wrong: float = 0.0) -> None:
        a = self.generator.normal(shift, 1.0, rows)
        chance = 1 / (1 + np.exp(-2 * a))
        late = self.generator.random(rows) < chance
        late ^= self.generator.random(rows) < wrong
        ids = [f"{day:%m%d}-{row}" for row in range(rows)]
        seconds = self.generator.integers(0, 86_400, rows).tolist()
        kinds = self.generator.choice(["x", "y"], rows).tolist()
        body = {
            "columns": {"a": a.tolist(), "kind": kinds},
            "ids": ids,
            "times": [day + timedelta(seconds=second) for second in seconds],
        }
        route = self.serving.get("m").routes[0]
        frame = PredictionFrame(
            f"r{day:%m%d}", to_microseconds(day), 9, [(route.version, route.digest)], b"", 1,
            chance.astype("<f8").tobytes(), msgspec.json.encode(body),
        )  # fmt: skip
        writer = SegmentWriter(log_folder(self.kernel.home, "m"), "predictions")
        writer.append(msgspec.msgpack.encode(frame))
        writer.close()
        self.labels[day] = (ids, late.tolist())

    def label(self, day: datetime, *, start: float = 0.0, end: float = 1.0) -> None:
        ids, late = self.labels[day]
        part = slice(int(start * len(ids)), int(end * len(ids)))
        self.serving.label("m", ids=ids[part], labels=[*late[part]])

    def live(self, first: datetime, days: int, *, delay: int = 2, **how: float) -> None:
        """Serve each day, deliver the labels of `delay` days before, and tick at its end."""
        for day in (first + DAY * number for number in range(days)):
            self.clock.move_to(day + DAY)
            self.serve(day, **how)  # type: ignore[arg-type]  # shift and wrong
            if day - DAY * delay in self.labels:
                self.label(day - DAY * delay)
            self.monitoring.tick()


def model(seed: int) -> Model:
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame({"a": generator.normal(size=400), "kind": generator.choice(["x", "y"], 400)})
    frame["late"] = generator.random(400) < 1 / (1 + np.exp(-2 * frame["a"]))
    columns = make_column_transformer((OneHotEncoder(), ["kind"]), remainder="passthrough")
    estimator = make_pipeline(columns, LogisticRegression()).fit(frame[["a", "kind"]], frame["late"])
    return Model(estimator, features=["a", "kind"], target="late", positive=True, example=frame)


@pytest.fixture
def world(make_kernel: MakeKernel, catalog_url: str) -> World:
    clock = ManualClock(START)
    made = World(make_kernel(clock=clock, catalog_url=catalog_url), clock)
    made.deploy(1)
    made.monitoring.set_monitor("m", monitor=MONITOR)
    made.monitoring.rebase("m", version=1)
    return made


def kinds(world: World, prefix: str = "monitor.") -> list[str]:
    return [event.kind for event in world.kernel.events.read(limit=1_000) if event.kind.startswith(prefix)]


def test_a_year_in_short_first_window_becomes_the_reference_and_decay_pages_once(world: World) -> None:
    world.live(START, 14)
    world.live(START + 2 * WEEK, 22, wrong=0.15)

    windows = world.monitoring.windows("m")[::-1]
    assert [window.verdict for window in windows] == ["reference", "ok", "bad", "bad", ""]
    assert [window.state for window in windows] == ["mature"] * 4 + ["provisional"]
    pages = [alert for alert in world.alerting.list() if alert.severity == "page"]
    assert [(alert.rule, alert.subject, alert.opened_at) for alert in pages] == [
        ("log_loss", "deployment:m", START + 4 * WEEK)
    ]
    assert [window.drift for window in windows] == ["", "none", "none", "none", "none"]
    performance, drift = world.monitoring.signals("m")
    assert (performance.state, drift.state) == ("bad", "ok")
    assert performance.limit == pytest.approx((performance.reference or 0) + 0.02)


def test_drift_annotates_and_never_pages(world: World) -> None:
    world.live(START, 7)
    world.live(START + WEEK, 17, shift=1.0)

    assert [window.drifted for window in world.monitoring.windows("m")[::-1]] == [[], ["a"], ["a"]]
    assert [(alert.rule, alert.severity) for alert in world.alerting.list()] == [("drift", "info")]
    report = world.monitoring.drift("m")
    assert {column.name: column.verdict for column in report.columns} == {"a": "drift", "kind": "none"}
    assert report == world.monitoring.drift("m", window_end=START + 3 * WEEK)
    with pytest.raises(ReportNotFoundError, match="everloop monitor windows m"):
        world.monitoring.drift("m", window_end=START)


def test_a_later_label_restates_a_window_and_both_figures_are_kept(world: World) -> None:
    days = [START + DAY * number for number in range(7)]
    for day in days:
        world.serve(day)
        world.clock.move_to(day + DAY)
        world.label(day, end=0.92)
    world.monitoring.tick()
    judged = world.monitoring.windows("m")[0]
    for day in days:
        world.label(day, start=0.92)
    world.clock.move_to(START + 2 * WEEK)
    assert [window.end for window in world.monitoring.tick()] == [
        START + 2 * WEEK,
        START + WEEK,
        START + 2 * WEEK,
    ]

    first, second = world.monitoring.figures("m", window_end=START + WEEK)
    assert (first.labelled, second.labelled) == (7 * 276, 7 * A_DAY)
    assert (first.as_of, second.as_of) == (START + WEEK, START + 2 * WEEK)
    assert judged.figure == first
    assert world.monitoring.windows("m", before=START + 2 * WEEK)[0].figure == second
    assert "monitor.window_restated" in kinds(world)


def test_a_window_without_labels_waits_and_is_then_insufficient(world: World) -> None:
    for number in range(7):
        world.serve(START + DAY * number)
    world.clock.move_to(START + WEEK)
    world.monitoring.tick()
    waiting = world.monitoring.windows("m")[0]
    world.clock.move_to(START + 2 * WEEK)
    world.monitoring.tick()

    assert (waiting.state, waiting.verdict) == ("provisional", "")
    judged = world.monitoring.windows("m", before=START + 2 * WEEK)[0]
    assert (judged.state, judged.verdict) == ("insufficient", "insufficient")
    assert world.alerting.list() == []


def test_after_a_promotion_windows_start_anew_against_the_gates_estimate(world: World) -> None:
    world.live(START, 10)
    world.deploy(2)
    rows = world.serving.labelled("m", START, START + WEEK)
    names = ["late" if name == "label" else name for name in rows.column_names]
    gate = Gate(conditions=[Condition(margin=1.0)], min_rows=1, min_labelled=1, max_age="")
    report = world.registry.check_gate(
        "m@v2", rows.rename_columns(names), gate=gate, time="time", champion="m@v1"
    )
    made = world.monitoring.rebase("m", version=2)
    assert world.monitoring.rebase("m", version=2) == made
    world.live(START + DAY * 10, 12)

    found = world.monitoring.reference("m")
    assert found is not None
    assert (found.number, found.version, found.started_at) == (2, 2, START + DAY * 10)
    assert found.performance["log_loss"].estimate == report.comparisons[0].challenger
    assert found.performance["log_loss"].source == f"gate report {report.id}"
    assert "before the promotion" in found.inputs_from
    newest, old = world.monitoring.windows("m")
    assert (newest.start, newest.version, newest.verdict) == (START + DAY * 10, 2, "ok")
    assert (old.version, old.verdict) == (1, "reference")
    assert kinds(world).count("monitor.rebased") == 2


def test_windows_of_a_replaced_version_no_longer_reach_alerting(world: World) -> None:
    world.live(START, 14)
    world.live(START + 2 * WEEK, 14, wrong=0.3)
    world.deploy(2)
    world.monitoring.rebase("m", version=2)
    world.live(START + 4 * WEEK, 3)

    assert [window.verdict for window in world.monitoring.windows("m")][:2] == ["bad", "bad"]
    assert [alert for alert in world.alerting.list() if alert.severity == "page"] == []


def test_a_deployment_routed_by_hand_is_followed(make_kernel: MakeKernel) -> None:
    clock = ManualClock(START)
    world = World(make_kernel(clock=clock), clock)
    world.monitoring.set_monitor("m", monitor=MONITOR)
    assert world.monitoring.tick() == []
    world.deploy(1)
    world.live(START, 7)
    world.deploy(2)
    world.live(START + WEEK, 15)

    assert [window.version for window in world.monitoring.windows("m")] == [2, 2, 1, 1]
    found = world.monitoring.reference("m")
    assert found is not None
    assert (found.version, found.started_at) == (2, START + WEEK)


@pytest.mark.chaos
def test_a_kill_after_every_write_leaves_nothing_twice_and_nothing_undone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(21):
        world.serve(START + DAY * number, wrong=0.0 if number < 7 else 0.4)
        world.clock.move_to(START + DAY * (number + 1))
        world.label(START + DAY * number)
    killed: list[object] = []

    def dying(name: str) -> Any:
        function = getattr(store, name)

        def call(connection: object, subject: Any, *arguments: Any, **options: Any) -> Any:
            answer = function(connection, subject, *arguments, **options)
            write = (name, getattr(subject, "start", None))
            if write not in killed:
                killed.append(write)
                raise KeyboardInterrupt
            return answer

        return call

    with monkeypatch.context() as patched:
        for name in ("close_window", "insert_drift", "move_window", "insert_figure", "set_performance"):
            patched.setattr(store, name, dying(name))
        for _ in range(100):
            try:
                world.monitoring.tick()
                break
            except KeyboardInterrupt:
                continue

    assert len(killed) == 3 + 2 + 3 + 3 + 1
    assert [window.verdict for window in world.monitoring.windows("m")[::-1]] == ["reference", "bad", "bad"]
    assert kinds(world).count("monitor.window_closed") == kinds(world).count("monitor.window_judged") == 3
    assert [alert.rule for alert in world.alerting.list()] == ["log_loss"]
    assert world.monitoring.tick() == []


def test_two_processes_that_tick_together_do_everything_once(
    world: World, make_kernel: MakeKernel, catalog_url: str
) -> None:
    for number in range(28):
        world.serve(START + DAY * number)
        world.clock.move_to(START + DAY * (number + 1))
        world.label(START + DAY * number)
    world.serving.flush()
    other = World(make_kernel(clock=world.clock, catalog_url=catalog_url), world.clock)
    done: list[int] = []
    threads = [
        threading.Thread(target=lambda each=each: done.append(len(each.monitoring.tick())))
        for each in (world, other)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    world.monitoring.tick()

    assert len(done) == 2
    assert [window.verdict for window in world.monitoring.windows("m")[::-1]] == [
        "reference",
        "ok",
        "ok",
        "ok",
    ]
    assert kinds(world).count("monitor.window_closed") == kinds(world).count("monitor.window_judged") == 4


def test_the_commands_show_what_is_watched(world: World) -> None:
    world.live(START, 17)

    def run(*arguments: str) -> Any:
        found = CliRunner().invoke(
            everloop,
            ["--home", str(world.kernel.home), "-o", "json", "monitor", *arguments],
            catch_exceptions=False,
            env={"EVERLOOP_CATALOG_URL": world.kernel.settings.catalog_url},
        )
        return json.loads(found.stdout)

    assert run("ls")[0]["model"] == "m"
    assert run("set", "m", "--tolerance", "0.05")["tolerance"] == 0.05
    assert [window["rows"] for window in run("windows", "m")] == [7 * A_DAY] * 2
    assert run("drift", "m")["verdict"] == "none"
    assert run("signals", "m")[0]["name"] == "log_loss"
    assert run("reference", "m")["version"] == 1
    assert run("figures", "m", "--window-end", "2013-02-08")[0]["labelled"] == 7 * A_DAY


def test_what_monitoring_keeps_is_rooted_and_a_missing_monitor_says_how_to_set_one(world: World) -> None:
    world.live(START, 14)
    with world.kernel.catalog.read() as connection:
        assert sorted(why for _, why in roots(connection)) == [
            "drift report of m until 2013-02-15 00:00",
            "reference inputs of m@v1",
        ]
    with pytest.raises(MonitorNotFoundError, match="everloop monitor set other"):
        world.monitoring.signals("other")


def test_setting_the_same_monitor_again_changes_nothing(world: World) -> None:
    world.monitoring.set_monitor("m", monitor=MONITOR)
    assert kinds(world).count("monitor.set") == 1


def test_training_rows_are_compared_with_what_the_deployment_was_asked(world: World) -> None:
    chance = np.random.default_rng(11)
    trained = {
        "a": chance.normal(0.0, 1.0, 3_000),
        "kind": chance.choice(["x", "y"], 3_000),
        "late": np.zeros(3_000),
    }
    data = Data(world.kernel)
    data.add("trained", trained)
    world.deploy(1)
    world.live(START, 7)
    clean = world.monitoring.skew("trained", deployment="m")
    world.live(START + WEEK, 7, shift=1.0)
    shifted = world.monitoring.skew("trained@v1", deployment="m")
    versions = world.monitoring.skew("trained", version="trained@v1")

    assert (clean.verdict, clean.skewed, clean.only_training) == ("none", [], ["late"])
    assert (shifted.verdict, shifted.skewed, shifted.serving_rows) == ("drift", ["a"], 7 * A_DAY)
    assert versions.verdict == "none"
    with pytest.raises(NoSkewRowsError, match="one of them"):
        world.monitoring.skew("trained")
