"""Frozen values of serving: routing documents, gateways, parts of the prediction log, rollout verdicts.

Tests: tests/unit/serving.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

BUCKETS = 10_000


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """Buckets `low` to `high` (exclusive) that go to one version."""

    low: int
    high: int
    version: int


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One model version behind a deployment, and its share of the traffic."""

    version: int
    digest: str
    weight: float


class Routing(msgspec.Struct, frozen=True, kw_only=True):
    """Which versions answer at a deployment; each change makes the next generation.

    Attributes:
        spans: every bucket from 0 to 9,999 once; see `routing.py`.
        features: feature views, `weather@v2`, from which a request that gives only their keys is filled.
    """

    deployment: str
    generation: int
    model: str
    routes: list[Route]
    spans: list[Span]
    is_paused: bool = False
    features: list[str] = []
    set_at: datetime
    actor: str
    reason: str = ""

    @property
    def weights(self) -> dict[int, float]:
        """Return the share of each version."""
        return {route.version: route.weight for route in self.routes}

    @property
    def main_version(self) -> int:
        """Return the version with the largest share."""
        return max(self.routes, key=lambda route: route.weight).version


class GatewayState(msgspec.Struct, frozen=True, kw_only=True):
    """What one gateway serves of a deployment, and why it could not follow, when it could not."""

    gateway: str
    deployment: str
    generation: int
    error: str = ""
    seen_at: datetime


class LogPart(msgspec.Struct, frozen=True, kw_only=True):
    """One Parquet object of logged predictions, of requests that failed, or of labels.

    Attributes:
        first_at, last_at: the earliest and latest time in it: of predictions and failures their time, of labels when they were known.
    """

    deployment: str
    kind: Literal["predictions", "failures", "labels"]
    digest: str
    rows: int
    first_at: datetime
    last_at: datetime


class CanaryFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of a canary beside the main version, since its share was last changed.

    Attributes:
        quality_gain: how much better the canary's mean loss is on labelled rows, with its 95 % interval; None without labels.
        mismatched: predictions that differ from what the registered model says for the same inputs.
        score_shift: Jensen-Shannon distance of the two versions' scores, 0 to 1, beyond what was known before; None when not known.
    """

    requests: int
    errors: int
    main_requests: int
    main_errors: int
    predictions: int
    not_finite: int
    out_of_range: int
    mismatched: int = 0
    latency_p99_us: float | None = None
    main_latency_p99_us: float | None = None
    score_shift: float | None = None
    quality_rows: int = 0
    quality_gain_low: float | None = None
    quality_gain_high: float | None = None


class CanaryLimits(msgspec.Struct, frozen=True, kw_only=True):
    """When a canary goes on, waits or goes back.

    Attributes:
        quality_margin: loss of quality that is still accepted.
    """

    min_predictions: int = 200
    max_error_rate: float = 0.01
    max_latency_ratio: float = 3.0
    min_latency_us: float = 20_000
    max_score_shift: float = 0.6
    quality_margin: float = 0.02
    min_quality_rows: int = 100


class CanaryVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What to do with a canary, and why."""

    action: Literal["advance", "hold", "roll_back"]
    reasons: list[str]
