"""What each kind of check takes, and what no check may be. Tests: tests/unit/data/test_checks.py."""

from __future__ import annotations

import difflib
import math
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from everloop.core.errors import InvalidInputError
from everloop.data.records import Check

if TYPE_CHECKING:
    from everloop.data.records import Suite


class InvalidCheckError(InvalidInputError):
    """A check cannot be run as it is written."""

    code = "data.invalid-check"


class Kind(NamedTuple):
    """A kind of check.

    Attributes:
        needs: fields that must be given.
        takes: fields that may be given beside `severity` and `name`.
        is_of_rows: whether single rows fail it, so that `share` and severity `quarantine` make sense.
        one_of: at least one of these must be given.
    """

    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    is_of_rows: bool = False
    one_of: tuple[str, ...] = ()


_BOUNDS = ("low", "high")
KINDS: dict[str, Kind] = {
    "not_null": Kind(("column",), (), True),
    "of_type": Kind(("column", "type")),
    "between": Kind(("column",), _BOUNDS, True, _BOUNDS),
    "in_set": Kind(("column", "values"), (), True),
    "not_in_set": Kind(("column", "values"), (), True),
    "matches": Kind(("column", "pattern"), (), True),
    "length": Kind(("column",), _BOUNDS, True, _BOUNDS),
    "unique": Kind((), ("column", "columns", "is_approximate"), True, ("column", "columns")),
    "expression": Kind(("sql",), (), True),
    "references": Kind(("column", "table", "key"), (), True),
    "row_count": Kind((), _BOUNDS, False, _BOUNDS),
    "has_columns": Kind(("columns",), ("is_exact",)),
    "mean": Kind(("column",), _BOUNDS, False, _BOUNDS),
    "std": Kind(("column",), _BOUNDS, False, _BOUNDS),
    "quantile": Kind(("column", "level"), _BOUNDS, False, _BOUNDS),
    "distinct": Kind(("column",), (*_BOUNDS, "is_approximate"), False, _BOUNDS),
    "null_share": Kind(("column", "high")),
    "fresh": Kind(("column", "within_s")),
    "sql": Kind(("sql",)),
    "python": Kind(("function",)),
}
_ALWAYS = ("kind", "severity", "name")
_NAMES = tuple(Check.__struct_fields__)
_UNSET = {field.name: field.default for field in msgspec.structs.fields(Check)} | {
    "values": [],
    "columns": [],
}


def fields_of(kind: str) -> list[str]:
    """Return the names a check of this kind takes, its own first."""
    found = KINDS[kind]
    of_rows = ["share"] if found.is_of_rows else []
    return list(dict.fromkeys([*found.needs, *found.takes, *of_rows, *_ALWAYS]))


def near(name: str, known: list[str]) -> str:
    """Return a sentence that names what was likely meant."""
    found = difflib.get_close_matches(name, known, n=1)
    return f"Did you mean {found[0]}?" if found else f"There are: {', '.join(known)}."


def refuse_wrong(suite: Suite) -> None:
    """Refuse a suite with a check that can never run, whoever wrote it.

    Raises:
        InvalidCheckError: it names the check.
    """
    for check in suite.checks:
        checked(check)


def refuse_unkept(suite: Suite) -> None:
    """Refuse a suite that cannot be kept with a dataset, to be run by whoever publishes.

    Raises:
        InvalidCheckError: it names the check.
    """
    refuse_wrong(suite)
    for check in suite.checks:
        if check.kind == "python":
            raise InvalidCheckError(
                f"{check.title} is a function of this process, and a dataset's suite runs in others. Write it as an expression "
                "or sql check, or give it to `add`."
            )


def checked(check: Check) -> Check:
    """Return the check when it can be run as it is written, an infinite bound as none.

    Raises:
        InvalidCheckError: it cannot.
    """
    kind = KINDS[check.kind]
    endless = {name: None for name in _BOUNDS if getattr(check, name) in (math.inf, -math.inf)}
    check = msgspec.structs.replace(check, **endless) if endless else check
    _refuse_other_fields(check, kind)
    if not kind.is_of_rows and check.severity == "quarantine":
        raise InvalidCheckError(
            f"{check.title} looks at the whole table, so it cannot put rows aside; use warn or fail."
        )
    if check.is_approximate and check.severity == "quarantine":
        raise InvalidCheckError(
            f"{check.title}: a sketch does not say which rows repeat, so it cannot put them aside; use warn or fail."
        )
    if not 0 < check.share <= 1:
        raise InvalidCheckError(f"{check.title}: share is above 0 and at most 1, not {check.share}.")
    _refuse_values(check)
    return check


def _refuse_other_fields(check: Check, kind: Kind) -> None:
    given = [name for name in _NAMES if getattr(check, name) != _UNSET.get(name)]
    known = fields_of(check.kind)
    for name in given:
        if name not in known:
            raise InvalidCheckError(
                f"{check.title}: a check of kind {check.kind} takes no {name}. {near(name, known)}"
            )
    missing = [name for name in kind.needs if name not in given]
    if missing:
        raise InvalidCheckError(f"{check.title}: a check of kind {check.kind} needs {', '.join(missing)}.")
    if kind.one_of and not set(kind.one_of) & set(given):
        raise InvalidCheckError(
            f"{check.title}: a check of kind {check.kind} needs {' or '.join(kind.one_of)}."
        )


def _refuse_values(check: Check) -> None:
    numbers = [bound for bound in (check.low, check.high) if isinstance(bound, int | float)]
    if any(math.isnan(bound) for bound in numbers):
        raise InvalidCheckError(f"{check.title}: a bound is no number.")
    both = 2
    if len(numbers) == both and numbers[0] > numbers[1]:
        raise InvalidCheckError(f"{check.title}: low {numbers[0]} is above high {numbers[1]}.")
    if check.level is not None and not 0 <= check.level <= 1:
        raise InvalidCheckError(f"{check.title}: level is between 0 and 1, not {check.level}.")
    if check.column and check.columns:
        raise InvalidCheckError(f"{check.title}: give column or columns, not both.")
    if check.within_s is not None and not 0 < check.within_s < math.inf:
        raise InvalidCheckError(f"{check.title}: within is a time above zero.")
    if check.pattern or check.sql:
        from everloop.data.check_sql import parse_pattern, parse_sql

        parse_pattern(check) if check.pattern else parse_sql(check)
