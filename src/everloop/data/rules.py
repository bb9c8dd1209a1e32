"""Pure decisions of the data stage: what a reference names, what results amount to, what two versions share.

Tests: tests/unit/data/test_rules.py.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import msgspec

from everloop.core.errors import ConflictError, InvalidInputError
from everloop.data.records import VersionDiff

if TYPE_CHECKING:
    from collections.abc import Sequence

    from everloop.data.records import CheckResult, Column, DatasetVersion, TableReference

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_VERSION = re.compile(r"v([1-9]\d*)")

# What `of_type` accepts beside Arrow's own names: DuckDB's and everyday ones.
_TYPE_NAMES = {
    "bigint": {"int64"},
    "integer": {"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"},
    "int": {"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"},
    "float64": {"double"},
    "float32": {"float"},
    "number": {"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float", "double"},
    "varchar": {"string"},
    "text": {"string"},
    "str": {"string"},
    "boolean": {"bool"},
    "date": {"date32[day]"},
    "timestamp": {"timestamp[us, tz=UTC]"},
    "time": {"timestamp[us, tz=UTC]", "date32[day]"},
}


class InvalidReferenceError(InvalidInputError):
    """A text does not name a dataset or a version of one."""

    code = "data.invalid-reference"


class SchemaMismatchError(ConflictError):
    """New rows do not have the columns of the dataset they are to be appended to."""

    code = "data.schema-mismatch"


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset, and the version or the moment asked for; neither means the latest."""

    dataset: str
    version: int = 0
    moment: datetime | None = None


def parse_reference(text: str) -> Reference:
    """Return what `flights`, `flights@latest`, `flights@v12` or `flights@2013-02-01` names.

    A date names the version that was the latest at that moment; without a time it is midnight UTC.

    Raises:
        InvalidReferenceError: it is none of these.
    """
    name, _, which = text.partition("@")
    if not _NAME.fullmatch(name):
        raise InvalidReferenceError(
            f"{text!r} does not name a dataset. Use letters, digits, _ . - and then @v12, @2013-02-01 or @latest.",
            subject=text,
        )
    if which in ("", "latest"):
        return Reference(dataset=name)
    if match := _VERSION.fullmatch(which):
        return Reference(dataset=name, version=int(match[1]))
    try:
        moment = datetime.fromisoformat(which)
    except ValueError as error:
        raise InvalidReferenceError(
            f"{text!r}: {which!r} is no version. Use {name}@v12, {name}@2013-02-01 or {name}@latest.",
            subject=text,
        ) from error
    return Reference(dataset=name, moment=moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def has_type(actual: str, wanted: str) -> bool:
    """Return whether a column of Arrow type `actual` is what `of_type(..., wanted)` asks for."""
    wanted = wanted.strip()
    return actual == wanted or actual in _TYPE_NAMES.get(wanted.lower(), set())


def judge(results: Sequence[CheckResult]) -> Literal["passed", "warned", "failed"]:
    """Return what the results of a suite amount to."""
    failed = [result for result in results if not result.is_passed]
    if any(result.check.severity == "fail" for result in failed):
        return "failed"
    return "warned" if failed else "passed"


def refuse_other_columns(dataset: str, old: Sequence[Column], new: Sequence[Column]) -> None:
    """Refuse an append whose columns are not those of the dataset, in any order.

    Raises:
        SchemaMismatchError: with the columns that are missing or unknown.
    """
    known, given = {column.name for column in old}, {column.name for column in new}
    missing, unknown = sorted(known - given), sorted(given - known)
    if missing or unknown:
        faults = [f"missing: {', '.join(missing)}"] * bool(missing) + [
            f"unknown: {', '.join(unknown)}"
        ] * bool(unknown)
        raise SchemaMismatchError(
            f"these rows do not fit dataset {dataset} ({'; '.join(faults)}). Give them its columns, "
            'or add them with mode="replace" to start a version with a new schema.',
            subject=f"dataset:{dataset}",
            details={"missing": missing, "unknown": unknown},
        )


def compare(
    old: DatasetVersion, old_content: TableReference, new: DatasetVersion, new_content: TableReference
) -> VersionDiff:
    """Return what changed between two versions, from their manifests alone."""
    before = {column.name: column.type for column in old.columns}
    after = {column.name: column.type for column in new.columns}
    old_parts = [part.digest for part in old_content.parts]
    new_parts = [part.digest for part in new_content.parts]
    return VersionDiff(
        old=old.ref,
        new=new.ref,
        is_same=old.digest == new.digest,
        columns_added=[column for column in new.columns if column.name not in before],
        columns_removed=[column for column in old.columns if column.name not in after],
        types_changed={n: (before[n], after[n]) for n in before if n in after and before[n] != after[n]},
        rows_old=old.rows,
        rows_new=new.rows,
        parts_shared=len(set(old_parts) & set(new_parts)),
        is_append=len(new_parts) > len(old_parts) and new_parts[: len(old_parts)] == old_parts,
    )
