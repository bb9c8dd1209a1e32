"""Frozen values of the data stage. Tests: tests/unit/data."""

from __future__ import annotations

from datetime import datetime

import msgspec

from everloop.data.check_records import Check, CheckKind, CheckResult, Plain, Severity, Suite, SuiteResult
from everloop.data.profile_records import ColumnKind, ColumnProfile, Profile, TopValue

__all__ = [
    "Check",
    "CheckKind",
    "CheckResult",
    "CheckRun",
    "Column",
    "ColumnKind",
    "ColumnProfile",
    "Dataset",
    "DatasetVersion",
    "Part",
    "Plain",
    "Profile",
    "QuarantinedRows",
    "Severity",
    "Suite",
    "SuiteResult",
    "TableReference",
    "TopValue",
    "VersionDiff",
]


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
