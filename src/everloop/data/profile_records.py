"""Frozen values of profiles. Tests: tests/unit/data/test_profiles.py."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

ColumnKind = Literal["number", "category", "text", "time", "boolean", "other"]


class TopValue(msgspec.Struct, frozen=True, kw_only=True):
    """A frequent value of a category and its count."""

    value: str
    count: int


class ColumnProfile(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics of one column.

    Attributes:
        nulls: missing values; `nans`: floats that are no number; `infinities`: those beyond every number. None
            of them enters the figures below.
        distinct: number of different values: exact for categories, else approximate (HyperLogLog, about 2 %).
        minimum, maximum: of numbers; `earliest`, `latest`: of times.
        edges: at most 51 ascending quantiles of a number column, the frozen borders of at most 50 bins.
        quantile_error: the greatest share of rows by which an edge may miss its quantile.
        top: the 50 most frequent values of a category, most first, ties by value; of other texts, those whose
            count is beyond the error.
        top_error: the number of rows by which a count of `top` may be too low.
        shortest, longest, mean_length: characters of texts.
    """

    name: str
    type: str
    kind: ColumnKind
    rows: int
    nulls: int
    nans: int = 0
    infinities: int = 0
    distinct: int
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    std: float | None = None
    edges: list[float] = []
    quantile_error: float = 0.0
    top: list[TopValue] = []
    top_error: int = 0
    shortest: int | None = None
    longest: int | None = None
    mean_length: float | None = None
    earliest: datetime | None = None
    latest: datetime | None = None


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics of one table content."""

    digest: str
    rows: int
    columns: list[ColumnProfile]

    def column(self, name: str) -> ColumnProfile:
        """Return the profile of one column; `KeyError` when there is none."""
        return {column.name: column for column in self.columns}[name]
