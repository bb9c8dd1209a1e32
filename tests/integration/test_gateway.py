"""The gateway as its users meet it: a process that answers HTTP, swaps models under load and keeps what it answered."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import lightgbm
import numpy as np
import pandas as pd
import pytest
import urllib3
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from everloop.data.features.errors import NotMaterializedError
from everloop.data.features.records import FeatureView
from everloop.data.service import Data
from everloop.evaluation import Evaluation
from everloop.registry import Model, Registry
from everloop.serving import Serving
from everloop.serving.service import NotServedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from everloop.kernel.operations import Kernel

pytestmark = pytest.mark.integration

FEATURES = ["a", "carrier"]
ALWAYS = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))


def frame(rows: int) -> pd.DataFrame:
    generator = np.random.default_rng(1)
    a = generator.normal(size=rows)
    carrier = pd.Categorical(generator.choice(["AA", "B6"], rows), categories=["AA", "B6"])
    return pd.DataFrame({"a": a, "carrier": carrier, "late": a + (carrier == "AA") > 0.5})


ROWS = frame(500)


def train(trees: int) -> Model:
    options = {"objective": "binary", "verbose": -1, "num_threads": 1}
    booster = lightgbm.train(options, lightgbm.Dataset(ROWS[FEATURES], label=ROWS["late"]), trees)
    return Model(booster, features=FEATURES, target="late", positive=True, example=ROWS.head(5))


def by_carrier(unknown: Literal["ignore", "error"]) -> Model:
    """Train a pipeline that answers, or raises, where a carrier is new."""
    encoder = make_column_transformer(
        (OneHotEncoder(handle_unknown=unknown), ["carrier"]), remainder="passthrough"
    )
    rows = ROWS.assign(carrier=ROWS["carrier"].astype(str))
    estimator = make_pipeline(encoder, LinearRegression()).fit(rows[FEATURES], rows["late"].astype(float))
    return Model(estimator, features=FEATURES, target="late", example=rows.head(5))


def bodies(rows: int) -> list[dict[str, Any]]:
    return [{"a": float(r.a), "carrier": str(r.carrier)} for r in ROWS.head(rows).itertuples()]


class Running(NamedTuple):
    """A gateway process and the home it serves."""

    serving: Serving
    registry: Registry
    port: int
    process: subprocess.Popen[bytes]

    def call(self, method: str, path: str, body: object = None, **headers: str) -> urllib3.BaseHTTPResponse:
        with urllib3.PoolManager(retries=False) as pool:
            return pool.request(
                method,
                f"http://127.0.0.1:{self.port}{path}",
                body=None if body is None else json.dumps(body),
                headers=headers,
            )


@pytest.fixture
def start(any_kernel: Kernel) -> Iterator[Callable[..., Running]]:
    processes: list[subprocess.Popen[bytes]] = []
    registry = Registry(any_kernel, evaluation=Evaluation(any_kernel))
    serving = Serving(any_kernel, registry=registry)

    def run(*, token: str = "", waits: bool = True) -> Running:
        port = free_port()
        program = (
            "import sys; from pathlib import Path; from everloop.kernel.settings import Settings;"
            "from everloop.serving.gateway import serve_gateway;"
            "serve_gateway(Settings(home=Path(sys.argv[1]), catalog_url=sys.argv[2], gateway_port=int(sys.argv[3]), token=sys.argv[4]))"
        )
        settings = any_kernel.settings
        arguments = [str(settings.home), settings.catalog_url, str(port), token]
        processes.append(subprocess.Popen([sys.executable, "-c", program, *arguments]))
        running = Running(serving, registry, port, processes[-1])
        if waits:
            wait_for(port)
        return running

    yield run
    for process in processes:
        process.terminate()
        process.wait(15)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the gateway did not start")


def deploy(running: Running, trees: int = 5) -> None:
    running.serving.deploy("delays", running.registry.register("delays", train(trees)).ref)
    running.serving.wait_until_served("delays")


def test_an_answer_is_that_of_the_model_in_rows_columns_and_alone(start: Callable[..., Running]) -> None:
    running = start()
    deploy(running)
    expected = train(5).predict(ROWS.head(50)).tolist()

    rows = running.call("POST", "/predict/delays", {"rows": bodies(50)}, **{"X-Request-Id": "mine"}).json()
    columns = {"columns": {"a": [r["a"] for r in bodies(50)], "carrier": [r["carrier"] for r in bodies(50)]}}
    alone = [
        running.call("POST", "/predict/delays", {"rows": [row]}).json()["predictions"][0]
        for row in bodies(20)
    ]

    assert rows == {"id": "mine", "version": 1, "predictions": expected}
    assert running.call("POST", "/predict/delays", columns).json()["predictions"] == expected
    assert alone == expected[:20]
    assert running.call("GET", "/ready").json() == {"ready": True}


def test_a_wrong_request_gets_the_path_and_the_reason(start: Callable[..., Running]) -> None:
    running = start()
    deploy(running)
    missing = running.call("POST", "/predict/delays", {"rows": [{"a": 1.0}]})
    unknown = running.call("POST", "/predict/delays", {"rows": [{"a": 1.0, "carrier": "ZZ", "new": 1}]})

    assert missing.status == 422
    assert missing.headers["content-type"] == "application/problem+json"
    assert missing.json()["path"] == "$.rows[0].carrier"
    assert unknown.headers["x-everloop-unknown"] == "new,carrier=1"
    assert running.call("POST", "/predict/other", {"rows": []}).json()["code"] == "serving.unknown-route"


def test_reasons_add_up_to_the_margin(start: Callable[..., Running]) -> None:
    running = start()
    deploy(running)
    found = running.call("POST", "/predict/delays?explain=true", {"rows": bodies(1)}).json()
    explained = found["explanations"][0]
    margin = explained["base"] + sum(explained["contributions"].values())
    assert 1 / (1 + np.exp(-margin)) == pytest.approx(found["predictions"][0])


def test_predictions_are_logged_and_joined_to_late_labels(start: Callable[..., Running]) -> None:
    running = start()
    deploy(running)
    moment = datetime(2013, 2, 1, 12, tzinfo=UTC)
    times = [(moment + timedelta(minutes=place)).isoformat() for place in range(3)]
    answered = running.call(
        "POST", "/predict/delays", {"rows": bodies(3), "ids": ["x", "y", "z"], "times": times}
    ).json()
    running.call("POST", "/predict/delays", {"rows": bodies(2)}, **{"X-Request-Id": "r"})
    labels = {"ids": ["x", "y"], "labels": [True, 0], "known_at": "2013-02-02T00:00:00Z"}
    assert running.call("POST", "/labels/delays", labels).json() == {"received": 2}
    running.serving.label("delays", ids=["x"], labels=[False], known_at=moment + timedelta(days=5))

    logged = running.serving.predictions("delays", moment, moment + timedelta(minutes=2))
    assert logged.column("id").to_pylist() == ["x", "y"]
    assert logged.column("prediction").to_pylist() == answered["predictions"][:2]
    assert logged.column("carrier").to_pylist() == [row["carrier"] for row in bodies(2)]
    early = running.serving.labelled("delays", *ALWAYS, known_by=moment + timedelta(days=1))
    late = running.serving.labelled("delays", *ALWAYS)
    assert early.select(["id", "label"]).to_pylist() == [{"id": "x", "label": 1.0}, {"id": "y", "label": 0.0}]
    assert late.column("label").to_pylist() == [0.0, 0.0]
    assert running.serving.predictions("delays", *ALWAYS).num_rows == 5


def test_rows_a_version_fails_on_are_counted_by_version(start: Callable[..., Running]) -> None:
    running = start()
    for unknown in ("ignore", "error"):
        running.registry.register("delays", by_carrier(unknown))
    running.serving.set_routes("delays", model="delays", weights={1: 0.5, 2: 0.5})
    running.serving.wait_until_served("delays")
    rows = [*bodies(39), {"a": 0.0, "carrier": "ZZ"}]
    whole = running.call("POST", "/predict/delays", {"rows": bodies(40), "ids": [f"a{n}" for n in range(40)]})
    shares = {n: whole.json()["versions"].count(n) for n in (1, 2)}
    to_second = whole.json()["versions"].index(2)
    failed = running.call("POST", "/predict/delays", {"rows": rows[-1:], "ids": [f"a{to_second}"]})
    refused = running.call("POST", "/predict/delays", {"rows": [{"a": 1.0}]})

    assert (failed.status, failed.json()["code"], refused.status) == (500, "serving.broken-answer", 422)
    assert running.serving.failures("delays", *ALWAYS) == {2: 1}
    assert running.serving.predictions("delays", *ALWAYS).num_rows == sum(shares.values()) == 40


def test_a_request_without_rows_is_answered_and_leaves_the_log_readable(
    start: Callable[..., Running],
) -> None:
    running = start()
    deploy(running)

    empty = running.call("POST", "/predict/delays", {"rows": []})
    running.call("POST", "/predict/delays", {"rows": bodies(2)})

    assert (empty.status, empty.json()["predictions"]) == (200, [])
    logged = running.serving.predictions("delays", *ALWAYS)
    assert logged.column("request_rows").to_pylist() == [2, 2]
    assert running.serving.failures("delays", *ALWAYS) == {}


def test_a_canary_takes_its_share_by_id_and_rolls_back(start: Callable[..., Running]) -> None:
    running = start()
    deploy(running)
    second = running.registry.register("delays", train(9))
    running.serving.set_weights("delays", {1: 0.8, second.version: 0.2})
    running.serving.wait_until_served("delays")
    request = {"rows": bodies(500), "ids": [f"k{place}" for place in range(500)]}
    found = running.call("POST", "/predict/delays", request).json()
    chosen = np.array(found["versions"]) == 2
    one, two = train(5).predict(ROWS), train(9).predict(ROWS)

    assert 60 < chosen.sum() < 140
    assert found["predictions"] == np.where(chosen, two, one).tolist()
    assert running.serving.rollback("delays").weights == {1: 1.0}
    running.serving.wait_until_served("delays")
    assert running.call("POST", "/predict/delays", request).json()["predictions"] == one.tolist()
    logged = running.serving.predictions("delays", *ALWAYS)
    assert set(logged.column("version").to_pylist()) == {1, 2}


def test_a_version_that_fails_to_load_leaves_the_old_one_in_place(start: Callable[..., Running]) -> None:
    running = start()
    deploy(running)
    kernel, bad = running.serving.kernel, train(5)
    files = bad.files | {"model.txt": train(30).files["model.txt"]}
    broken = running.registry.register("delays", Model.from_files(files))
    running.serving.deploy("delays", broken.ref)

    with pytest.raises(NotServedError, match="ParityError: the model answers its stored example"):
        running.serving.wait_until_served("delays")
    assert running.call("POST", "/predict/delays", {"rows": bodies(1)}).json()["version"] == 1
    assert running.call("GET", "/deployments").json()[0]["error"].startswith("ParityError")
    assert kernel.events.read(kinds=["deployment.routed"])[-1].payload["weights"] == {"v2": 1.0}


def test_a_paused_deployment_answers_503_until_it_is_resumed(start: Callable[..., Running]) -> None:
    running = start()
    deploy(running)
    running.serving.pause("delays", reason="audit")
    running.serving.wait_until_served("delays")
    assert running.call("POST", "/predict/delays", {"rows": bodies(1)}).json()["code"] == "serving.paused"
    running.serving.resume("delays")
    running.serving.wait_until_served("delays")
    assert running.call("POST", "/predict/delays", {"rows": bodies(1)}).status == 200


def test_a_token_is_demanded_when_one_is_set(start: Callable[..., Running]) -> None:
    running = start(token="secret")
    deploy(running)
    assert running.call("POST", "/predict/delays", {"rows": bodies(1)}).status == 401
    allowed = running.call("POST", "/predict/delays", {"rows": bodies(1)}, Authorization="Bearer secret")
    assert allowed.status == 200


def test_a_port_in_use_is_a_plain_error(kernel: Kernel) -> None:
    from everloop.serving.gateway import PortInUseError, bind

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(
            PortInUseError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"
        ):
            bind("127.0.0.1", port)
    assert kernel.settings.gateway_host == "127.0.0.1"


@pytest.mark.chaos
def test_what_was_answered_before_a_kill_is_in_the_log(start: Callable[..., Running]) -> None:
    running = start()
    deploy(running)
    for place in range(20):
        running.call("POST", "/predict/delays", {"rows": bodies(1), "ids": [f"p{place}"]})
    os.kill(running.process.pid, signal.SIGKILL)
    running.process.wait()

    logged = running.serving.predictions("delays", *ALWAYS)
    assert set(logged.column("id").to_pylist()) == {f"p{place}" for place in range(20)}
    assert logged.num_rows == 20
    assert not list((running.serving.kernel.home / "predictions/delays").glob("*.frames"))


async def load(port: int, connections: int, until: asyncio.Event) -> list[int]:
    """Send requests on so many connections until told to stop; return the statuses."""
    statuses: list[int] = []
    content = json.dumps({"rows": bodies(1)}).encode()
    request = (
        b"POST /predict/delays HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(content) + content
    )

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while not until.is_set():
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            statuses.append(int(head[9:12]))
        writer.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    return statuses


@pytest.mark.slow
def test_a_hundred_swaps_under_load_of_32_connections_lose_no_request(start: Callable[..., Running]) -> None:
    running = start()
    deploy(running)
    second = running.registry.register("delays", train(9))

    async def swap_under_load() -> list[int]:
        stop = asyncio.Event()
        loading = asyncio.create_task(load(running.port, 32, stop))
        for swap in range(100):
            await asyncio.to_thread(
                running.serving.deploy, "delays", f"delays@v{second.version if swap % 2 == 0 else 1}"
            )
            await asyncio.to_thread(running.serving.wait_until_served, "delays")
        stop.set()
        return await loading

    statuses = asyncio.run(swap_under_load())
    assert len(statuses) > 1_000
    assert set(statuses) == {200}
    assert len(running.serving.history("delays", limit=200)) == 101


def test_a_request_with_only_the_key_is_filled_from_the_online_rows_and_logged(
    start: Callable[..., Running], any_kernel: Kernel
) -> None:
    running = start()
    deploy(running)
    data = Data(any_kernel)
    plane = [f"N{number}" for number in range(5)]
    known = datetime(2013, 1, 1, tzinfo=UTC)
    rows = bodies(5)
    seen = [row["a"] - 1 for row in rows]
    columns = {"plane": plane, "t": [known] * 5, "seen": seen, "carrier": [row["carrier"] for row in rows]}
    data.add("planes", columns)
    features = {"a": "seen + 1", "carrier": "carrier"}
    view = FeatureView(name="planes", source="planes", keys=["plane"], features=features, event_time="t")
    data.save_view(view)
    with pytest.raises(NotMaterializedError):
        running.serving.set_features("delays", views=["planes"])
    data.materialize("planes")

    assert running.serving.set_features("delays", views=["planes"]).features == ["planes@v1"]
    running.serving.wait_until_served("delays")
    asked = {"rows": [{"plane": "N0"}, {"plane": "N1", "a": 9.0}, rows[2]], "ids": ["p", "q", "r"]}
    found = running.call("POST", "/predict/delays", asked)
    columns_found = running.call("POST", "/predict/delays", {"columns": {"plane": plane}}).json()

    used = pd.DataFrame([rows[0], {**rows[1], "a": 9.0}, rows[2]])
    used["carrier"] = pd.Categorical(used["carrier"], categories=["AA", "B6"])
    assert found.status == 200, found.data
    assert "x-everloop-unknown" not in found.headers
    assert found.json()["predictions"] == train(5).predict(used).tolist()
    assert columns_found["predictions"] == train(5).predict(ROWS.head(5)).tolist()
    logged = {row["id"]: row for row in running.serving.predictions("delays", *ALWAYS).to_pylist()}
    assert (logged["p"]["a"], logged["q"]["a"], logged["q"]["carrier"]) == (
        rows[0]["a"] - 1 + 1,
        9.0,
        rows[1]["carrier"],
    )

    running.serving.set_features("delays", views=[])
    running.serving.wait_until_served("delays")
    assert running.call("POST", "/predict/delays", asked).status == 422
