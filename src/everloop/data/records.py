"""Frozen values of the data stage. Tests: tests/unit/data."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

Severity = Literal["warn", "fail", "quarantine"]
Plain = str | int | float | bool | None
CheckKind = Literal["not_null", "of_type", "between", "in_set", "matches", "unique", "row_count"]
ColumnKind = Literal["number", "category", "text", "time", "boolean", "other"]


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """A column of a table; `type` is Arrow's name of it: `int64`, `string`, `timestamp[us, tz=UTC]`."""

    name: str
    type: str


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One Parquet object of a table."""

    digest: str
    rows: int
    size_bytes: int


class TableReference(msgspec.Struct, frozen=True, kw_only=True):
    """A stored table by its digests; with an object store it is a `Table` again.

    Attributes:
        name: `flights@v3`, or empty for a table that is no dataset version.
        digest: digest of the logical content: columns, types and rows in order, however cut into parts.
        chunks: digests of each 65,536 rows, so that an append need not read all of its parent.
    """

    name: str = ""
    digest: str
    columns: list[Column]
    parts: list[Part]
    chunks: list[str]

    @property
    def rows(self) -> int:
        """Return the number of rows."""
        return sum(part.rows for part in self.parts)

    @property
    def size_bytes(self) -> int:
        """Return the bytes of the parts."""
        return sum(part.size_bytes for part in self.parts)


class Check(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One rule on data; made by the functions of `everloop.data.checks`."""

    kind: CheckKind
    column: str = ""
    severity: Severity = "fail"
    type: str = ""
    low: Plain = None
    high: Plain = None
    values: list[str | int | float | bool] = []
    pattern: str = ""

    @property
    def title(self) -> str:
        """Return the check as text, `between(distance, 10, 10000)`."""
        shown: dict[str, list[object]] = {
            "of_type": [self.type],
            "between": [self.low, self.high],
            "in_set": [self.values],
            "matches": [self.pattern],
            "row_count": [self.low, self.high],
        }
        arguments = [self.column, *shown.get(self.kind, [])] if self.column else shown.get(self.kind, [])
        return f"{self.kind}({', '.join(map(str, arguments))})"


class Suite(msgspec.Struct, frozen=True):
    """A named list of checks."""

    name: str
    checks: list[Check]


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """What one check found; `failed_rows` is 1 for a check on the whole table that failed."""

    check: Check
    is_passed: bool
    failed_rows: int
    rows: int
    reason: str = ""


class SuiteResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a suite found; `failed` when a check of severity `fail` failed, `warned` when only others did."""

    suite: str
    verdict: Literal["passed", "warned", "failed"]
    results: list[CheckResult]


class Dataset(msgspec.Struct, frozen=True, kw_only=True):
    """A named series of versions."""

    name: str
    latest: int
    created_at: datetime


class DatasetVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One immutable content of a dataset.

    Attributes:
        parent: the version it was added after; 0 for the first.
        event_time: the column that says when a row's fact happened; empty when there is none.
        quarantine: reference of the version that holds the rows its suite put aside; empty when there are
            none.
        is_unchanged: an `add` found this very content as the latest version and made no new one.
    """

    dataset: str
    version: int
    digest: str
    rows: int
    size_bytes: int
    columns: list[Column]
    parent: int
    message: str
    event_time: str
    created_at: datetime
    created_by: str
    suite: SuiteResult | None = None
    quarantine: str = ""
    is_unchanged: bool = False

    @property
    def ref(self) -> str:
        """Return `flights@v3`."""
        return f"{self.dataset}@v{self.version}"


class QuarantinedRows(msgspec.Struct, frozen=True, kw_only=True):
    """Stored rows that a suite put aside, and how many each check did."""

    table: TableReference
    reasons: dict[str, int]


class CheckRun(msgspec.Struct, frozen=True, kw_only=True):
    """A suite run against a version."""

    id: str
    dataset: str
    version: int
    suite: Suite
    result: SuiteResult
    created_at: datetime


class TopValue(msgspec.Struct, frozen=True, kw_only=True):
    """A frequent value of a category and its count."""

    value: str
    count: int


class ColumnProfile(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics of one column.

    Attributes:
        nulls: missing values; `nans`: floats that are no number. Neither enters the figures below.
        distinct: approximate number of different values (HyperLogLog, about 2 %).
        minimum, maximum: of numbers; `earliest`, `latest`: of times.
        edges: at most 51 ascending quantiles of a number column, the frozen borders of at most 50 bins.
        top: of a category column, the 50 most frequent values, most first, ties by value.
    """

    name: str
    type: str
    kind: ColumnKind
    rows: int
    nulls: int
    nans: int = 0
    distinct: int
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    std: float | None = None
    edges: list[float] = []
    top: list[TopValue] = []
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


class VersionDiff(msgspec.Struct, frozen=True, kw_only=True):
    """What changed from one version to another."""

    old: str
    new: str
    is_same: bool
    columns_added: list[Column]
    columns_removed: list[Column]
    types_changed: dict[str, tuple[str, str]]
    rows_old: int
    rows_new: int
    parts_shared: int
    is_append: bool
