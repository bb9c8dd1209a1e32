"""Pure decisions of the data stage: what a reference names, what results amount to, what two versions share.

Tests: tests/unit/data/test_rules.py.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import msgspec

from everloop.core.errors import ConflictError, InvalidInputError
from everloop.data.records import PartsDiff, SchemaDiff, VersionDiff

if TYPE_CHECKING:
    from collections.abc import Sequence

    from everloop.data.records import CheckResult, Column, DatasetVersion, TableReference

MAIN = "main"
# The share of dead rows at which a table is written anew.
COMPACT_AT = 0.2
# So many small parts become one, as long as none is larger than this many rows.
FAN = 8
LARGEST_MERGED = 2_000_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_REF = re.compile(r"(?!v\d+$)[A-Za-z][A-Za-z0-9_.-]{0,127}")
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
    """A dataset, and which version of it: a number, a ref, a ref at a moment, what a run added; `back` parents before that."""

    dataset: str
    version: int = 0
    ref: str = MAIN
    moment: datetime | None = None
    run: str = ""
    back: int = 0


def parse_reference(text: str) -> Reference:
    """Return what `flights`, `flights@v12`, `flights@staging`, `flights@2013-02-01` or `flights@main~1` names.

    A date names what `main` was at that moment; without a time it is midnight UTC. `run:ID` names what a run added, or, if it added
    nothing, what it read.

    Raises:
        InvalidReferenceError: it is none of these.
    """
    name, _, which = text.partition("@")
    if not _NAME.fullmatch(name):
        raise InvalidReferenceError(
            f"{text!r} does not name a dataset. Use letters, digits, _ . - and then @v12, @branch, @2013-02-01, @run:ID or "
            "@main~1.",
            subject=text,
        )
    which, _, steps = which.partition("~")
    if "~" in text and not steps.isdecimal():
        raise InvalidReferenceError(
            f"{text!r}: after ~ comes how many versions to go back, {name}@main~1.", subject=text
        )
    found = _selected(name, which)
    if found is None:
        raise InvalidReferenceError(
            f"{text!r}: {which!r} is no version. Use {name}@v12, {name}@2013-02-01, {name}@latest, or a branch or tag.",
            subject=text,
        )
    return msgspec.structs.replace(found, back=int(steps or 0))


def parse_ref_name(name: str) -> str:
    """Return the name of a branch or tag.

    Raises:
        InvalidReferenceError: it could be taken for a version, or has other characters.
    """
    if name == "latest" or not _REF.fullmatch(name):
        raise InvalidReferenceError(
            f"{name!r} cannot name a branch or a tag. Begin with a letter, go on with letters, digits, _ . - and take nothing "
            "that reads as a version: v3, latest.",
            subject=name,
        )
    return name


def _selected(name: str, which: str) -> Reference | None:
    if which in ("", "latest"):
        return Reference(dataset=name)
    if match := _VERSION.fullmatch(which):
        return Reference(dataset=name, version=int(match[1]))
    if which.startswith("run:"):
        return Reference(dataset=name, run=which.removeprefix("run:"))
    moment = _as_moment(which)
    if moment is not None:
        return Reference(dataset=name, moment=moment)
    return Reference(dataset=name, ref=which) if _REF.fullmatch(which) else None


def _as_moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def is_delta_better(*, rows: int, added: int, removed: int, held: int, dead: int) -> bool:
    """Return whether a rewritten table is better stored as an edit of its parent than whole.

    Args:
        rows: rows of the new table.
        added: rows that the edit adds.
        removed: rows that it marks as deleted.
        held: rows in the parent's parts, dead ones included.
        dead: rows of them that are deleted already.
    """
    if 2 * added > rows:
        return False
    return dead + removed <= COMPACT_AT * (held + added)


def needs_compaction(*, held: int, dead: int) -> bool:
    """Return whether so much of what is stored is deleted that reading suffers."""
    return dead > COMPACT_AT * held


def parts_to_merge(rows: Sequence[int]) -> int:
    """Return how many of the last parts should become one: eight of about one size, so that n appends leave 8 log8 n parts."""
    if len(rows) < FAN or max(rows[-FAN:]) > LARGEST_MERGED:
        return 0
    levels = {int(math.log(max(count, 1024) / 1024, FAN)) for count in rows[-FAN:]}
    return FAN if len(levels) == 1 else 0


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
    olds = [part.key for part in old_content.parts]
    news = [part.key for part in new_content.parts]
    stored = {part.digest for part in old_content.parts}, {part.digest for part in new_content.parts}
    return VersionDiff(
        old=old.ref,
        new=new.ref,
        is_same=old.digest == new.digest,
        rows_old=old.rows,
        rows_new=new.rows,
        parts=PartsDiff(
            shared=len(stored[0] & stored[1]),
            added=len(stored[1] - stored[0]),
            removed=len(stored[0] - stored[1]),
            bytes_added=sum(
                {p.digest: p.size_bytes for p in new_content.parts if p.digest not in stored[0]}.values()
            ),
            bytes_removed=sum(
                {p.digest: p.size_bytes for p in old_content.parts if p.digest not in stored[1]}.values()
            ),
        ),
        schema=SchemaDiff(
            added=[column for column in new.columns if column.name not in before],
            removed=[column for column in old.columns if column.name not in after],
            types_changed={n: (before[n], after[n]) for n in before if n in after and before[n] != after[n]},
        ),
        is_append=len(news) > len(olds) and news[: len(olds)] == olds,
    )
