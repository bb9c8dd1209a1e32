"""What an evaluation says: estimates with intervals, a report on one model, a comparison of two.

Values are frozen and plain, so that a report is an object named by its digest. Tests: tests/unit/evaluation.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

Outcome = Literal["better", "non_inferior", "worse", "not_enough_data"]


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """A figure with its two-sided 95 % interval; None where the rows do not define it."""

    value: float | None
    low: float | None
    high: float | None
    rows: int
    blocks: int
    method: str


class MetricReport(msgspec.Struct, frozen=True, kw_only=True):
    """One metric of one model, beside the best constant prediction on the same rows."""

    metric: str
    estimate: Estimate
    baseline: float | None
    skill: float | None


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """The line of the labels' log-odds over the scores' log-odds: slope 1 and intercept 0 are ideal."""

    slope: float
    intercept: float


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a comparison concludes, and why."""

    outcome: Outcome
    reasons: list[str]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Challenger against champion on the same rows; a positive gain favours the challenger."""

    metric: str
    champion: Estimate
    challenger: Estimate
    gain: Estimate
    margin: float
    verdict: Verdict


class EvaluationReport(msgspec.Struct, frozen=True, kw_only=True):
    """A stored evaluation: of one subject, or of a challenger against a champion."""

    id: str
    subject: str
    against: str = ""
    data: str = ""
    created_at: datetime
    rows: int
    positives: int | None = None
    metrics: list[MetricReport] = []
    calibration: Calibration | None = None
    comparisons: list[Comparison] = []
    discordance: float | None = None


class StoredEvaluation(msgspec.Struct, frozen=True, kw_only=True):
    """Where a report lies: the digest of the object that holds it."""

    id: str
    subject: str
    against: str
    data: str
    created_at: datetime
    rows: int
    digest: str
