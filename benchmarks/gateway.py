"""The gateway against the floor: a bare ASGI app on the same server that decodes with msgspec and calls the same predictor.

    python benchmarks/gateway.py [--seconds 2] [--rounds 3]

Both run side by side in turns, each in its own process; the load is one process of plain sockets. Prints JSON: requests a
second, p50 and p99 in milliseconds for 1, 16 and 64 connections, and the ratio gateway / floor. What the gateway does beyond
the floor: routing, ids, problem documents, the prediction log with its checksum, and the encoded answer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightgbm
import numpy as np
import pandas as pd

from everloop.evaluation import Evaluation
from everloop.kernel.runtime import open_kernel
from everloop.kernel.settings import Settings
from everloop.registry import Model, Registry
from everloop.serving import Serving
from everloop.serving.gateway import bind, serve_gateway, server_config

if TYPE_CHECKING:
    import socket

TREES = 300
COLUMNS = 20


def train() -> tuple[Model, bytes]:
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(generator.normal(size=(5_000, COLUMNS)), columns=[f"c{i}" for i in range(COLUMNS)])
    label = frame.sum(axis=1) + generator.normal(size=5_000) > 0
    options = {"objective": "binary", "verbose": -1, "num_threads": 1}
    booster = lightgbm.train(options, lightgbm.Dataset(frame, label=label), TREES)
    model = Model(
        booster, features=list(frame.columns), target="y", positive=True, example=frame.assign(y=label).head()
    )
    return model, json.dumps({"rows": [frame.iloc[0].to_dict()]}).encode()


def run_gateway(home: Path, listener: socket.socket) -> None:
    serve_gateway(Settings(home=home), sockets=[listener])


def run_floor(files: dict[str, bytes], listener: socket.socket) -> None:
    import msgspec
    import uvicorn
    import uvloop

    model = Model.from_files(files)
    names = model.signature.features
    row = msgspec.defstruct("Row", [(name, float | None) for name in names], gc=False)
    body = msgspec.defstruct("Body", [("rows", list[row])])  # type: ignore[valid-type]  # a type made at run time
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(body)
    decode, encode, predict = decoder.decode, msgspec.json.encode, model.predictor.predict

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI's own types
        del scope
        request = decode((await receive())["body"])
        matrix = np.array([msgspec.structs.astuple(row) for row in request.rows], dtype=np.float64)
        answer = encode({"predictions": predict(matrix).tolist()})
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(uvicorn.Server(server_config(app)).serve(sockets=[listener]))


async def load(port: int, body: bytes, *, connections: int, seconds: float) -> tuple[float, list[float]]:
    request = b"POST /predict/m HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    latencies: list[float] = []
    until = time.perf_counter() + seconds

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (started := time.perf_counter()) < until:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(head.decode())
            await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
            latencies.append(time.perf_counter() - started)
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(connections)))
    return len(latencies) / (time.perf_counter() - started), latencies


def measure(port: int, body: bytes, *, connections: int, seconds: float) -> dict[str, float]:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        rate, latencies = runner.run(load(port, body, connections=connections, seconds=seconds))
    p50, p99 = np.quantile(latencies, [0.5, 0.99]) * 1_000
    return {"requests_per_s": rate, "p50_ms": float(p50), "p99_ms": float(p99)}


def compare(ports: dict[str, int], body: bytes, *, seconds: float, rounds: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for connections in (1, 16, 64):
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in ports}
        for _ in range(rounds):
            for name, port in ports.items():
                runs[name].append(measure(port, body, connections=connections, seconds=seconds))
        medians = {
            name: {key: round(statistics.median(run[key] for run in taken), 3) for key in taken[0]}
            for name, taken in runs.items()
        }
        ratios = [
            a["requests_per_s"] / b["requests_per_s"]
            for a, b in zip(runs["gateway"], runs["floor"], strict=True)
        ]
        found[f"c={connections}"] = {**medians, "ratio": round(statistics.median(ratios), 3)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    model, body = train()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / ".everloop"
        kernel = open_kernel(Settings(home=home))
        registry = Registry(kernel, evaluation=Evaluation(kernel))
        serving = Serving(kernel, registry=registry)
        serving.deploy("m", registry.register("m", model).ref)
        listeners = {"gateway": bind("127.0.0.1", 0), "floor": bind("127.0.0.1", 0)}
        start = multiprocessing.get_context("fork")
        processes = [
            start.Process(target=run_gateway, args=(home, listeners["gateway"])),
            start.Process(target=run_floor, args=(model.files, listeners["floor"])),
        ]
        kernel.close()
        for process in processes:
            process.start()
        ports = {name: listener.getsockname()[1] for name, listener in listeners.items()}
        for port in ports.values():
            measure(port, body, connections=4, seconds=0.5)
        result = compare(ports, body, seconds=chosen.seconds, rounds=chosen.rounds)
        for process in processes:
            process.terminate()
            process.join()
    json.dump({"trees": TREES, "columns": COLUMNS, "body_bytes": len(body), **result}, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
