"""Tracking: what a call of `log` costs, how fast points arrive, and how fast a million runs answer.

python benchmarks/tracking.py                    # logging and charts, each beside a floor of the same run
python benchmarks/tracking.py search 1000000     # a home with as many runs, 10 metrics and 10 params each
python benchmarks/tracking.py search 1000000 postgresql://user@host/database   # an empty database
"""

from __future__ import annotations

import json
import os
import random
import resource
import secrets
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import everloop as el
from everloop.tracking.series.columns import pack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from everloop.app import App

METRICS = [f"metric{at}" for at in range(10)]
PARAMS = [f"param{at}" for at in range(10)]
MODELS = ["lgbm", "xgb", "forest", "linear", "mlp"]


def main() -> None:
    match sys.argv[1:]:
        case ["search", count, *url]:
            measure_search(int(count), url[0] if url else "")
        case _:
            with tempfile.TemporaryDirectory() as folder:
                measure_logging(Path(folder))


# -- logging -----------------------------------------------------------------------------------------------------------


def measure_logging(folder: Path, calls: int = 1_000_000) -> None:
    started = time.perf_counter()
    waiting: list[tuple[dict[str, float], float]] = []
    add = waiting.append
    for at in range(calls):
        add(({"loss": at * 0.1}, float(at)))
    floor = time.perf_counter() - started
    print(f"floor: a loop that appends {calls:,} values to a list: {floor / calls * 1e6:.2f} us a value")

    with el.connect(home=folder / "embedded") as app:
        log_many(app, calls, floor, "embedded, SQLite")
        measure_charts(app)
        measure_storage(folder / "embedded" / "catalog.db")
    port = free_port()
    environment = os.environ | {
        "EVERLOOP_TOKEN": (token := secrets.token_hex(16)),
        "EVERLOOP_API_PORT": str(port),
    }
    command = [sys.executable, "-m", "everloop", "--home", str(folder / "served"), "up", "--role", "api"]
    started = time.perf_counter()
    with subprocess.Popen(command, env=environment, cwd=folder) as server:
        try:
            url = f"http://127.0.0.1:{port}"
            await_answer(url)
            print(
                f"server: first answer after {time.perf_counter() - started:.2f} s, {memory_of(server.pid):.0f} MB"
            )
            with el.connect(url, token=token, spool_dir=str(folder / "spool")) as app:
                log_many(app, calls, floor, "over HTTP, SQLite")
                measure_creation(app)
        finally:
            server.terminate()


def log_many(app: App, calls: int, floor: float, name: str) -> None:
    run = app.tracking.start(experiment="bench")
    started = time.perf_counter()
    for at in range(calls):
        run.log(loss=at * 0.1, step=at)
    logged = time.perf_counter() - started
    run.finish()
    home = time.perf_counter() - started
    count = app.tracking.get_run(run.id).metrics[0].count
    if count != calls:
        raise SystemExit(f"{name}: only {count:,} of {calls:,} points came home")
    print(
        f"{name}: {logged / calls * 1e6:.2f} us a call ({logged / floor:.1f} times the floor), "
        f"all {calls:,} points home after {home:.1f} s = {calls / home:,.0f} points a second"
    )


def measure_creation(app: App, count: int = 200) -> None:
    started = time.perf_counter()
    for at in range(count):
        with app.tracking.start(experiment="many", params={"at": at}):
            pass
    seconds = time.perf_counter() - started
    print(f"runs started and ended over HTTP: {count / seconds:,.0f} a second")


def measure_charts(app: App) -> None:
    chance = np.random.default_rng(3)
    points = 1_000_000
    run = app.tracking.create_run(id="long").id
    values = np.cumsum(chance.normal(size=points))
    spike = 765_432
    values[spike] = 1e9
    for first in range(0, points, 50_000):
        part = slice(first, first + 50_000)
        steps = np.arange(points, dtype=float)[part].tolist()
        times = (np.arange(points)[part] * 1000 + chance.integers(0, 50, 50_000)).tolist()
        app.tracking.log_batch(run, series=[pack("walk", steps, times, values[part].tolist())])
    seconds = best(lambda: app.tracking.chart([run], name="walk", buckets=500))
    [chart] = app.tracking.chart([run], name="walk", buckets=500)
    if max(value for value in chart.greatest if value is not None) != 1e9:
        raise SystemExit("the chart lost the planted spike")
    print(f"chart of {points:,} points in 500 buckets: {seconds * 1e3:.1f} ms; the planted spike is in it")
    seconds = best(
        lambda: app.tracking.chart([run], name="walk", buckets=500, low=spike - 5000, high=spike + 5000)
    )
    print(f"the same zoomed to 10,000 points: {seconds * 1e3:.1f} ms")
    runs = []
    for at in range(1000):
        runs.append(app.tracking.create_run(id=f"c{at}").id)
        steps = [float(step) for step in range(2000)]
        app.tracking.log_batch(
            runs[-1], series=[pack("loss", steps, list(range(2000)), chance.normal(size=2000).tolist())]
        )
    seconds = best(lambda: app.tracking.chart(runs, name="loss", buckets=500), times=3)
    print(f"charts of 1,000 runs (2,000 points each) in 500 buckets: {seconds * 1e3:.0f} ms")


def measure_storage(file: Path) -> None:
    with sqlite3.connect(file) as database:
        query = (
            "SELECT run_key.name, sum(length(data) + length(summaries)), sum(points) FROM run_segment "
            "JOIN run_key ON run_key.id = run_segment.key_id GROUP BY run_key.name"
        )
        for name, size, points in database.execute(query):
            print(f"sealed {name}: {size / points:.2f} bytes a point")


# -- search ------------------------------------------------------------------------------------------------------------


def measure_search(count: int, url: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        settings: dict[str, Any] = {"catalog_url": url} if url else {}
        with el.connect(home=Path(folder) / "home", **settings) as app:
            started = time.perf_counter()
            fill(app, count)
            print(
                f"{count:,} runs x 10 metrics x 10 params on {app.kernel.catalog.dialect}: filled in {time.perf_counter() - started:.0f} s"
            )
            searches(app, count)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


def searches(app: App, count: int) -> None:
    search = app.tracking.search
    filter_ = 'metrics.metric0 > 0.5 and params.param1 =~ "lgbm|xgb" and params.param0 < 0.05'
    order, columns = (
        ["metrics.metric1 desc"],
        ["metrics.metric0", "metrics.metric1", "params.param0", "params.param1"],
    )

    def page(after: str = "") -> str:
        return search(filter_, order_by=order, limit=100, after=after, columns=columns).next

    started = time.perf_counter()
    page()
    print(f"first search, columns not in memory: {time.perf_counter() - started:.2f} s")
    print(f"first page of 100: {best(page) * 1e3:.0f} ms")
    mark, total = "", search(filter_, limit=1).total
    for _ in range(min(total // 200, 50)):
        mark = page(mark)
    print(f"page in the middle ({total:,} chosen): {best(lambda: page(mark)) * 1e3:.0f} ms")
    print(
        f"all runs by a metric, first page: {best(lambda: search(order_by=order, limit=100, columns=columns)) * 1e3:.0f} ms"
    )
    wide = best(lambda: search(order_by=order, limit=100))
    print(f"the same with all values of each run: {wide * 1e3:.0f} ms")
    print(f"count: {best(lambda: app.tracking.count(filter_)) * 1e3:.0f} ms")
    fields = ["params.param1", "status", "metrics.metric0"]
    app.tracking.facets(fields)
    print(
        f"count and three facets: {best(lambda: (app.tracking.count(filter_), app.tracking.facets(fields, filter=filter_))) * 1e3:.0f} ms"
    )
    print(
        f"groups with a mean: {best(lambda: app.tracking.group(['params.param1'], aggregates=['mean(metrics.metric0)'])) * 1e3:.0f} ms"
    )
    app.tracking.log_batch("r0", params={"param0": 0.01})
    started = time.perf_counter()
    page()
    print(f"first page after a change of one run: {(time.perf_counter() - started) * 1e3:.0f} ms")
    del count


def fill(app: App, count: int) -> None:
    chance = random.Random(7)  # noqa: S311 - no secret
    first = app.tracking.create_run(id="template", experiment="bench", params=dict.fromkeys(PARAMS, 0.1))
    app.tracking.log_batch(first.id, series=[pack(name, [0.0], [0], [0.5]) for name in METRICS])
    app.tracking.finish_run(first.id)
    put = put_postgresql if app.kernel.catalog.dialect == "postgresql" else put_sqlite
    with app.kernel.catalog.read() as connection:
        keys = {
            (kind, name): number
            for number, kind, name in connection.exec_driver_sql("SELECT id, kind, name FROM run_key")
        }
        template = dict(connection.exec_driver_sql("SELECT * FROM run").mappings().one())
        start = int(template["number"]) + 1
    now = int(template["created_at"])

    def runs() -> Iterator[tuple[object, ...]]:
        for at in range(count):
            row = template | {
                "number": start + at,
                "id": f"r{at}",
                "name": f"run {at}",
                "created_at": now + at,
                "ended_at": now + at + 10**7,
            }
            yield tuple(row.values())

    def metrics() -> Iterator[tuple[object, ...]]:
        for at in range(count):
            for name in METRICS:
                value = chance.random()
                yield start + at, keys["metric", name], value, 0.0, now, value, value, 1

    def params() -> Iterator[tuple[object, ...]]:
        for at in range(count):
            for name in PARAMS:
                if name == "param1":
                    yield start + at, keys["param", name], json.dumps(MODELS[at % 5]), None
                else:
                    number = round(chance.random(), 3)
                    yield start + at, keys["param", name], json.dumps(number), number

    put(app, "run", list(template), runs())
    put(
        app, "run_metric", ["run", "key_id", "value", "step", "time", "least", "greatest", "count"], metrics()
    )
    put(app, "run_param", ["run", "key_id", "value", "number"], params())


def put_sqlite(app: App, table: str, columns: list[str], rows: Iterator[tuple[object, ...]]) -> None:
    with sqlite3.connect(app.kernel.home / "catalog.db") as database:
        marks = ", ".join("?" * len(columns))
        database.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)


def put_postgresql(app: App, table: str, columns: list[str], rows: Iterator[tuple[object, ...]]) -> None:
    with app.kernel.catalog.transaction() as connection:
        raw: Any = connection.connection
        with raw.cursor().copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)


# -- measuring ---------------------------------------------------------------------------------------------------------


def best(work: Callable[[], object], times: int = 7) -> float:
    """Return the median seconds of some calls after one that is not counted."""
    work()
    found = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return statistics.median(found)


def free_port() -> int:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return int(place.getsockname()[1])


def await_answer(url: str) -> None:
    import urllib3

    for _ in range(600):
        try:
            urllib3.request("GET", f"{url}/health", retries=False, timeout=1)
        except urllib3.exceptions.HTTPError:
            time.sleep(0.02)
        else:
            return


def memory_of(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


if __name__ == "__main__":
    main()
