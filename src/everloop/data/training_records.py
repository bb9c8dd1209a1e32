"""Frozen values of checks before training. Tests: tests/unit/data/test_training_checks.py."""

from __future__ import annotations

from typing import Literal

import msgspec

from everloop.data.check_records import Plain

TrainingCheckKind = Literal[
    "leakage",
    "target_copy",
    "known_later",
    "id_like",
    "constant",
    "imbalance",
    "duplicates",
    "contradictions",
    "overlap",
    "label_errors",
]
Task = Literal["classification", "regression"]


class TrainingFinding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that would spoil a training, or the estimate of how good it is.

    Attributes:
        figure: what was measured; `measure` says what it is.
        column: the column it is about, empty for rows and for the target.
        rows: how many rows it is about; `sample` shows some of them.
    """

    kind: TrainingCheckKind
    severity: Literal["warn", "fail"]
    reason: str
    column: str = ""
    figure: float | None = None
    measure: str = ""
    rows: int = 0
    sample: list[dict[str, Plain]] = []


class ColumnSkill(msgspec.Struct, frozen=True, kw_only=True):
    """How well one column alone predicts the target on rows it was not fitted on: AUC (0.5 is chance) or R squared (0)."""

    column: str
    skill: float


class TrainingReport(msgspec.Struct, frozen=True, kw_only=True):
    """What checks before training found.

    Attributes:
        ref, test: the versions looked at; empty for tables that are none.
        judged: rows that figures of columns were taken from; all, or a sample.
        verdict: `failed` when a finding of severity `fail` is there.
        skills: of every column, best first.
        skipped: checks that did not run, each with its reason.
    """

    ref: str
    target: str
    task: Task
    rows: int
    judged: int
    verdict: Literal["passed", "warned", "failed"]
    findings: list[TrainingFinding]
    skills: list[ColumnSkill]
    test: str = ""
    skipped: list[str] = []
