"""What an explanation says. Tests: tests/unit/explanation."""

from __future__ import annotations

from datetime import datetime

import msgspec


class Importance(msgspec.Struct, frozen=True, kw_only=True):
    """How much one feature moves the margin: the mean absolute contribution, and its share of the whole."""

    feature: str
    mean_absolute: float
    share: float


class GlobalExplanation(msgspec.Struct, frozen=True, kw_only=True):
    """The importance of every feature of a model over some rows, largest first."""

    id: str
    subject: str
    data: str
    created_at: datetime
    rows: int
    base: float
    importances: list[Importance]
