"""Frozen values of the data stage. Tests: tests/unit/data."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

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

Shape = Literal["table", "files"]
RefKind = Literal["branch", "tag"]
Operation = Literal["add", "append", "upsert", "delete", "merge", "revert", "quarantine", "mask"]
_MODULUS = 1 << 64


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """A column of a table; `type` is Arrow's name of it: `int64`, `string`, `timestamp[us, tz=UTC]`."""

    name: str
    type: str


class Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One Parquet object of a table, and which of its rows are deleted.

    Attributes:
        rows: rows in the object, deleted ones included.
        deletions: digest of the roaring bitmap of deleted positions; empty when every row is there.
        deleted: how many rows are deleted.
    """

    digest: str
    rows: int
    size_bytes: int
    deletions: str = ""
    deleted: int = 0

    @property
    def live(self) -> int:
        """Return the number of rows that are not deleted."""
        return self.rows - self.deleted

    @property
    def key(self) -> str:
        """Return the name of the live rows: the same key, the same rows."""
        return f"{self.digest}-{self.deletions}" if self.deletions else self.digest


class Tally(msgspec.Struct, frozen=True):
    """Number of rows and the sum of their hashes, lane by lane, modulo 2**64; see `everloop.data.rows`."""

    rows: int = 0
    a: int = 0
    b: int = 0

    def __add__(self, other: Tally) -> Tally:
        """Return the tally of the rows of both."""
        return Tally(self.rows + other.rows, (self.a + other.a) % _MODULUS, (self.b + other.b) % _MODULUS)

    def __sub__(self, other: Tally) -> Tally:
        """Return the tally without the rows of the other."""
        return Tally(self.rows - other.rows, (self.a - other.a) % _MODULUS, (self.b - other.b) % _MODULUS)


class TableReference(msgspec.Struct, frozen=True, kw_only=True):
    """A stored table by its digests; with an object store it is a `Table` again.

    Attributes:
        name: `flights@v3`, or empty for a table that is no dataset version.
        digest: digest of the content: columns, types and rows in any order, however they are stored or were reached.
        order: digest of the rows in the order they are read; what depends on the order of rows is keyed by it.
        tally: what the digest is taken from.
    """

    name: str = ""
    digest: str
    order: str
    tally: Tally
    columns: list[Column]
    parts: list[Part]

    @property
    def rows(self) -> int:
        """Return the number of rows."""
        return self.tally.rows

    @property
    def size_bytes(self) -> int:
        """Return the bytes of the parts."""
        return sum(part.size_bytes for part in self.parts)


class Dataset(msgspec.Struct, frozen=True, kw_only=True):
    """A named series of versions.

    Attributes:
        latest: the highest version number, on whatever branch.
        suite: what `publish` must pass before it moves `main`; None for nothing.
    """

    name: str
    latest: int
    created_at: datetime
    shape: Shape = "table"
    suite: Suite | None = None


class DatasetVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One immutable content of a dataset.

    Attributes:
        commit: digest of content, parents and all that is said of the version; the same wherever the version is.
        digest: of the content; see `TableReference`.
        manifest: digest of the object that says how the content is stored; compaction changes it, and nothing else.
        rows: of a table; `files` of a tree.
        size_bytes: bytes of the content as it is stored; stored_bytes: what this version added to the store.
        keys: columns that name a row; empty when rows have no names.
        branch: where it was added.
        parent: the version it was added after, 0 for the first; merged: the other parent of a merge.
        operation: how it came about.
        event_time: the column that says when a row's fact happened; known_time: when it became known; empty when
            there is none.
        run: id of the run that added it, or empty.
        quarantine: reference of the version that holds the rows its suite put aside; empty when there are
            none.
        is_unchanged: an `add` found this very content as the latest version and made no new one.
    """

    dataset: str
    version: int
    shape: Shape = "table"
    commit: str
    digest: str
    manifest: str
    rows: int
    files: int = 0
    size_bytes: int
    stored_bytes: int
    columns: list[Column]
    keys: list[str] = []
    branch: str
    parent: int
    merged: int = 0
    operation: Operation
    message: str
    event_time: str
    known_time: str = ""
    run: str = ""
    created_at: datetime
    created_by: str
    suite: SuiteResult | None = None
    quarantine: str = ""
    is_unchanged: bool = False

    @property
    def ref(self) -> str:
        """Return `flights@v3`."""
        return f"{self.dataset}@v{self.version}"


class Ref(msgspec.Struct, frozen=True, kw_only=True):
    """A branch, which moves with each version added to it, or a tag, which never moves."""

    dataset: str
    name: str
    kind: RefKind
    version: int
    moved_at: datetime
    moved_by: str


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


class ColumnChange(msgspec.Struct, frozen=True, kw_only=True):
    """How the statistics of one column moved from one version to another.

    Attributes:
        distance: Jensen-Shannon distance (base 2, 0 to 1) of the values over the old version's bins; None when a side has
            no statistics to compare.
        nulls_old, nulls_new: share of missing values.
    """

    name: str
    nulls_old: float
    nulls_new: float
    distinct_old: int
    distinct_new: int
    mean_old: float | None = None
    mean_new: float | None = None
    distance: float | None = None


class RowSample(msgspec.Struct, frozen=True, kw_only=True):
    """One changed row before and after; of an added row only after, of a removed one only before."""

    before: dict[str, Plain] | None = None
    after: dict[str, Plain] | None = None


class RowDiff(msgspec.Struct, frozen=True, kw_only=True):
    """Rows added, removed and changed.

    Attributes:
        keys: columns that rows were matched by; without any, rows are matched whole and none is `changed`.
        changed_columns: for each column how many of the changed rows differ in it.
        sample: some of the rows, changed ones first.
        compared: rows that had to be read on both sides together; parts that both versions share are passed over.
    """

    keys: list[str]
    added: int
    removed: int
    changed: int
    changed_columns: dict[str, int]
    sample: list[RowSample]
    compared: int


class PartsDiff(msgspec.Struct, frozen=True, kw_only=True):
    """Objects added and removed, and those that both versions share."""

    shared: int
    added: int
    removed: int
    bytes_added: int
    bytes_removed: int


class SchemaDiff(msgspec.Struct, frozen=True, kw_only=True):
    """Columns added, removed and of another type."""

    added: list[Column]
    removed: list[Column]
    types_changed: dict[str, tuple[str, str]]


class VersionDiff(msgspec.Struct, frozen=True, kw_only=True):
    """What changed from one version to another, in four levels; a level that was not asked for is None."""

    old: str
    new: str
    is_same: bool
    rows_old: int
    rows_new: int
    parts: PartsDiff
    schema: SchemaDiff
    is_append: bool
    statistics: list[ColumnChange] | None = None
    rows: RowDiff | None = None


class MergeConflict(msgspec.Struct, frozen=True, kw_only=True):
    """A row that both sides changed, each in another way; None stands for a row that a side removed or never had."""

    key: dict[str, Plain]
    ours: dict[str, Plain] | None
    theirs: dict[str, Plain] | None


class Merge(msgspec.Struct, frozen=True, kw_only=True):
    """What a merge took over from the other side.

    Attributes:
        base: the common ancestor; ours: the version that was merged into; theirs: the one that was merged.
        version: what came of it; `ours` itself when there was nothing to take over.
        changed: rows put in place of others or added; removed: rows that went.
        conflicts: how many rows both sides changed in different ways; `sample` shows some of them.
    """

    base: str
    ours: str
    theirs: str
    version: DatasetVersion
    changed: int
    removed: int
    conflicts: int
    sample: list[MergeConflict] = []


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    """A version as it travels between homes: without numbers, its parents by their commits."""

    parents: list[str]
    shape: Shape
    digest: str
    manifest: str
    rows: int
    files: int
    size_bytes: int
    stored_bytes: int
    columns: list[Column]
    keys: list[str]
    operation: Operation
    message: str
    event_time: str
    known_time: str
    run: str
    created_at: datetime
    created_by: str


class Pushed(msgspec.Struct, frozen=True, kw_only=True):
    """What a push or a pull brought over."""

    ref: str
    versions: int
    objects: int
    size_bytes: int
