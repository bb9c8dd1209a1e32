"""Frozen values of the registry: signatures, versions, aliases, gates and their reports.

Tests: tests/unit/registry.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from everloop.evaluation.records import Comparison

Kind = Literal["double", "long", "boolean", "string"]
Scalar = str | int | float | bool
GateResult = Literal["pass", "fail", "insufficient"]


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One input column.

    Attributes:
        categories: the known values in the order of their codes; None for a column that is not categorical.
    """

    name: str
    kind: Kind
    nullable: bool = False
    categories: list[Scalar] | None = None


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """What a model answers for one row.

    Attributes:
        kind: the probability of `positive`, one number, or one probability for each of `classes`.
        target: the column it predicts.
    """

    kind: Literal["probability", "value", "probabilities"]
    target: str
    positive: Scalar | None = None
    classes: list[Scalar] = []


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """The inputs and the output of a model."""

    inputs: list[Column]
    output: Output

    @property
    def features(self) -> list[str]:
        """Return the names of the input columns, in the model's order."""
        return [column.name for column in self.inputs]


class ModelVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One immutable content of a named model.

    Attributes:
        digest: digest of the manifest (path -> digest of each file).
        data: what it was trained on, for example `flights@v3`.
        trained_until: time of the newest row that training read; None when it is not known.
        deleted_at: since when it is deleted; its number is not given again.
    """

    model: str
    version: int
    digest: str
    flavor: str
    signature: Signature
    files: dict[str, str]
    run: str = ""
    data: list[str] = []
    metrics: dict[str, float] = {}
    trained_until: datetime | None = None
    created_at: datetime
    author: str = ""
    note: str = ""
    tags: dict[str, str] = {}
    updated_at: datetime | None = None
    deleted_at: datetime | None = None

    @property
    def ref(self) -> str:
        """Return the name people use, `delays@v7`."""
        return f"{self.model}@v{self.version}"

    @property
    def subject(self) -> str:
        """Return the name in events and lineage, `model:delays@v7`."""
        return f"model:{self.ref}"


class RegisteredModel(msgspec.Struct, frozen=True, kw_only=True):
    """A named model: how many versions it has, and where its aliases stand."""

    name: str
    created_at: datetime
    versions: int
    aliases: dict[str, int]
    updated_at: datetime | None = None
    note: str = ""
    tags: dict[str, str] = {}


class AliasMove(msgspec.Struct, frozen=True, kw_only=True):
    """One move of an alias; version 0 means that it was taken away."""

    id: str
    model: str
    alias: str
    version: int
    previous: int
    moved_at: datetime
    actor: str
    reason: str = ""


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """One demand on the challenger: not worse than the champion by more than `margin`, or better by more than it."""

    require: Literal["non_inferior", "better"] = "non_inferior"
    metric: str = "log_loss"
    margin: float = 0.0


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """The conditions a version must meet.

    Attributes:
        conditions: demands on metrics, each against the champion on the same rows.
        min_rows: rows the gate must see.
        min_labelled: of them, rows with a label.
        max_age: the newest row may be this old, for example `30d`; empty means any age.
    """

    conditions: list[Condition] = msgspec.field(default_factory=lambda: [Condition()])
    min_rows: int = 500
    min_labelled: int = 500
    max_age: str = "30d"


class ConditionReport(msgspec.Struct, frozen=True, kw_only=True):
    """How one condition came out, and why."""

    name: str
    result: GateResult
    reason: str


class GateReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the gate found, with the digests of its evidence.

    Attributes:
        against: the champion; empty for the first version, which is held against the best constant.
        evidence: names and digests of what was judged: both models, the data, the evaluation report.
    """

    id: str
    model: str
    version: int
    against: str = ""
    result: GateResult
    conditions: list[ConditionReport]
    comparisons: list[Comparison] = []
    gate: Gate
    evidence: dict[str, str]
    created_at: datetime


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """A person's recorded decision on one content and one gate report."""

    id: str
    model: str
    version: int
    digest: str
    gate_report: str
    actor: str
    comment: str
    approved_at: datetime
