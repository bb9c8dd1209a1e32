"""What the loop sees of a canary: who failed, and how long requests took."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from everloop.core.clock import to_microseconds
from everloop.evaluation import Evaluation
from everloop.loop.facts import canary_facts
from everloop.loop.records import Cycle
from everloop.registry import Model, Registry
from everloop.serving import CanaryLimits, Serving, canary_verdict
from everloop.serving.frames import SegmentWriter
from everloop.serving.prediction_log import FailureFrame, PredictionFrame, log_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import MakeKernel

    from everloop.core.clock import ManualClock
    from everloop.kernel.operations import Kernel

CHAMPION, CHALLENGER = 1, 2


class Log:
    """Writes what a gateway would have logged of one deployment with two versions."""

    def __init__(self, kernel: Kernel) -> None:
        registry = Registry(kernel, evaluation=Evaluation(kernel))
        for slope in (0.1, 0.2):
            estimator = LinearRegression().fit(np.array([[0.0], [1.0]]), [0.0, slope])
            registry.register("m", Model(estimator, features=["a"], target="y", example={"a": [0.0, 1.0]}))
        self.serving = Serving(kernel, registry=registry)
        routing = self.serving.set_routes("m", model="m", weights={CHAMPION: 0.5, CHALLENGER: 0.5})
        self._digests = {route.version: route.digest for route in routing.routes}
        self._at = to_microseconds(kernel.clock.now())
        self._writers = {
            kind: SegmentWriter(log_folder(kernel.home, "m"), kind) for kind in ("predictions", "failures")
        }
        self._requests = 0

    def answered(self, version: int, *, latencies_us: list[int], rows: int = 1) -> None:
        body = msgspec.json.encode({"rows": [{"a": 0.5}] * rows})
        outputs = np.full(rows, 0.05 * version).tobytes()
        for latency in latencies_us:
            self._requests += 1
            who = [(version, self._digests[version])]
            frame = PredictionFrame(f"r{self._requests}", self._at, latency, who, b"", 1, outputs, body)
            self._writers["predictions"].append(msgspec.msgpack.encode(frame))

    def failed(self, version: int, *, requests: int) -> None:
        digest = self._digests[version]
        for _ in range(requests):
            self._requests += 1
            name = f"r{self._requests}"
            frame = FailureFrame(
                name, self._at, version, digest, "serving.broken-answer", "no", [f"{name}-0"], [self._at]
            )
            self._writers["failures"].append(msgspec.msgpack.encode(frame))

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()


@pytest.fixture
def log(make_kernel: MakeKernel, clock: ManualClock) -> Iterator[Log]:
    made = Log(make_kernel(clock=clock))
    yield made
    made.close()


@pytest.fixture
def cycle(clock: ManualClock) -> Cycle:
    now = clock.now()
    return Cycle(
        id="c", model="m", number=1, state="canary", policy="", cause="", began_at=now, updated_at=now, step_began_at=now,
        challenger=CHALLENGER, champion=CHAMPION,
    )  # fmt: skip


def test_failures_are_counted_for_the_version_that_failed(log: Log, cycle: Cycle, clock: ManualClock) -> None:
    log.answered(CHAMPION, latencies_us=[100] * 20)
    log.answered(CHALLENGER, latencies_us=[100] * 10)
    log.failed(CHALLENGER, requests=4)
    log.failed(CHAMPION, requests=1)

    facts = canary_facts(log.serving, cycle, clock.now() + timedelta(hours=1))

    assert (facts.requests, facts.errors, facts.main_requests, facts.main_errors) == (14, 4, 21, 1)
    assert canary_verdict(facts, CanaryLimits()).action == "roll_back"


def test_a_canary_that_fails_every_time_is_rolled_back(log: Log, cycle: Cycle, clock: ManualClock) -> None:
    log.answered(CHAMPION, latencies_us=[100] * 20)
    log.failed(CHALLENGER, requests=5)

    verdict = canary_verdict(
        canary_facts(log.serving, cycle, clock.now() + timedelta(hours=1)), CanaryLimits()
    )

    assert verdict.action == "roll_back"
    assert verdict.reasons == ["5 of 5 requests failed, 1.0% allowed"]


def test_latency_is_that_of_single_rows_and_only_when_there_are_enough(
    log: Log, cycle: Cycle, clock: ManualClock
) -> None:
    log.answered(CHALLENGER, latencies_us=[*range(1, 301)])
    log.answered(CHALLENGER, latencies_us=[900_000] * 5, rows=50)
    log.answered(CHAMPION, latencies_us=[100] * 299)

    facts = canary_facts(log.serving, cycle, clock.now() + timedelta(hours=1))

    assert facts.latency_p99_us == pytest.approx(297, abs=1)
    assert facts.main_latency_p99_us is None


def test_a_slow_canary_is_rolled_back(log: Log, cycle: Cycle, clock: ManualClock) -> None:
    log.answered(CHALLENGER, latencies_us=[50_000] * 300)
    log.answered(CHAMPION, latencies_us=[1_000] * 300)

    verdict = canary_verdict(
        canary_facts(log.serving, cycle, clock.now() + timedelta(hours=1)), CanaryLimits()
    )

    assert "p99 latency is 50000 µs, that of the main version 1000 µs" in verdict.reasons
