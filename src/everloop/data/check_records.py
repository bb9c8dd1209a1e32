"""Frozen values of checks: a check, a suite, and what each found. Tests: tests/unit/data/test_suites.py."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Literal

import msgspec

from everloop.core.durations import format_duration

if TYPE_CHECKING:
    from pathlib import Path

Severity = Literal["warn", "fail", "quarantine"]
Plain = str | int | float | bool | None
CheckKind = Literal[
    "not_null",
    "of_type",
    "between",
    "in_set",
    "not_in_set",
    "matches",
    "length",
    "unique",
    "row_count",
    "has_columns",
    "mean",
    "std",
    "quantile",
    "distinct",
    "null_share",
    "expression",
    "fresh",
    "references",
    "sql",
    "python",
]


class Check(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One rule on data; made by the functions of `everloop.data.checks`.

    Attributes:
        kind: which rule; it decides which of the others are used.
        column: the column it looks at; empty for a rule on rows or on the table.
        columns: of a rule on several columns.
        share: of a rule on rows, the least share of the rows it looks at that must pass.
        level: of `quantile`, between 0 and 1.
        sql: of `expression`, a condition on a row; of `sql`, a query that counts what is wrong.
        within_s: of `fresh`, the greatest age of the newest row in seconds.
        table, key: of `references`, the other table and its column.
        function: of `python`, `module:name` of the function.
        is_approximate: of `unique` and `distinct`, count different values by a sketch.
        is_exact: of `has_columns`, no other column may be there.
        name: how to call a rule whose arguments do not say it.
    """

    kind: CheckKind
    column: str = ""
    severity: Severity = "fail"
    type: str = ""
    low: Plain = None
    high: Plain = None
    values: list[str | int | float | bool] = []
    pattern: str = ""
    columns: list[str] = []
    share: float = 1.0
    level: float | None = None
    sql: str = ""
    within_s: float | None = None
    table: str = ""
    key: str = ""
    function: str = ""
    is_approximate: bool = False
    is_exact: bool = False
    name: str = ""

    @property
    def title(self) -> str:
        """Return the check as text, `between(distance, 10, 10000)`."""
        if self.name:
            return f"{self.kind}({self.name})"
        shown: dict[str, list[object]] = {
            "of_type": [self.type],
            "in_set": [self.values],
            "not_in_set": [self.values],
            "matches": [self.pattern],
            "quantile": [self.level, self.low, self.high],
            "fresh": [format_duration(timedelta(seconds=self.within_s or 0))],
            "references": [self.table, self.key],
            "expression": [self.sql],
            "sql": [self.sql],
            "python": [self.function],
        }
        bounds = [self.low, self.high] if self.low is not None or self.high is not None else []
        named = [self.column] if self.column else []
        mostly = [f"share={self.share:g}"] if self.share < 1 else []
        arguments = [*named, *self.columns, *shown.get(self.kind, bounds), *mostly]
        return f"{self.kind}({', '.join(map(str, arguments))})"


class Suite(msgspec.Struct, frozen=True):
    """A named list of checks."""

    name: str
    checks: list[Check]

    @classmethod
    def read(cls, file: str | Path) -> Suite:
        """Read a suite from a TOML or JSON file.

        Raises:
            SuiteFileError: with the line or the check that is wrong.
        """
        from everloop.data.suite_files import read_suite

        return read_suite(file)

    def write(self, file: str | Path) -> None:
        """Write the suite to a file that `read` reads back, TOML or JSON by its name.

        Raises:
            InvalidCheckError: a check of kind `python` has a function that cannot be imported by its name.
        """
        from everloop.data.suite_files import write_suite

        write_suite(self, file)


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """What one check found.

    Attributes:
        failed_rows: rows that fail; 1 for a check on the whole table that failed.
        rows: rows looked at.
        figure: what a check on a figure measured.
    """

    check: Check
    is_passed: bool
    failed_rows: int
    rows: int
    reason: str = ""
    figure: float | None = None


class SuiteResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a suite found; `failed` when a check of severity `fail` failed, `warned` when only others did."""

    suite: str
    verdict: Literal["passed", "warned", "failed"]
    results: list[CheckResult]
