"""What a reader of a foreign suite gathers: checks, and what it could not translate. Tests: tests/unit/data/suite_formats."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from everloop.data.check_kinds import InvalidCheckError
from everloop.data.engine import literal, quote
from everloop.data.records import Check, Suite

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Untranslated(msgspec.Struct, frozen=True, kw_only=True):
    """A rule of another system that is no check here, or only in part.

    Attributes:
        where: the column, or `table`.
        rule: its name there.
        reason: why, or what is missing.
    """

    where: str
    rule: str
    reason: str


class TranslatedSuite(msgspec.Struct, frozen=True, kw_only=True):
    """A suite of another system as one of ours, and what of it could not be translated."""

    suite: Suite
    untranslated: list[Untranslated]


class Notes:
    """Gathers checks and what is left over."""

    def __init__(self) -> None:
        self._checks: list[Check] = []
        self._left: list[Untranslated] = []

    def add(self, where: str, rule: str, make: Callable[[], Sequence[Check]]) -> None:
        """Take the checks that `make` returns; when one cannot be written here note the rule."""
        try:
            self._checks += make()
        except InvalidCheckError as error:
            self.leave(where, rule, str(error))
        except (KeyError, TypeError, ValueError) as error:
            self.leave(where, rule, f"it is not of the form that is known here: {error!r}")

    def leave(self, where: str, rule: str, reason: str) -> None:
        """Note a rule that is not translated, or only in part."""
        self._left.append(Untranslated(where=where or "table", rule=rule, reason=reason))

    def finish(self, name: str) -> TranslatedSuite:
        """Return all of it."""
        return TranslatedSuite(suite=Suite(name, self._checks), untranslated=self._left)


# What other systems call types, by the name that `of_type` takes.
_TYPES = {
    "integer": [
        "int",
        "integer",
        "int4",
        "bigint",
        "smallint",
        "integertype",
        "longtype",
        "shorttype",
        "bytetype",
    ],
    "number": ["number", "float", "numeric", "real", "decimal", "floattype", "decimaltype"],
    "double": ["double", "float64", "doubletype"],
    "text": [
        "str",
        "string",
        "text",
        "object",
        "varchar",
        "char",
        "stringtype",
        "string[python]",
        "string[pyarrow]",
        "object_",
    ],
    "bool": ["bool", "boolean", "bool_", "booleantype"],
    "time": [
        "datetime",
        "timestamp",
        "timestamptype",
        "datetime64",
        "datetime64[ns]",
        "datetime64[us]",
        "datetime64[s]",
        "datetime64[ms]",
        "datetime64[ns,utc]",
        "datetime64[us,utc]",
        "timestamptz",
    ],
    "date": ["date", "datetype"],
}
_NAMES = {name: ours for ours, names in _TYPES.items() for name in names}
_WIDTHS = {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}


def type_of(name: object) -> str:
    """Return the type as `of_type` takes it, empty when there is none."""
    plain = str(name).lower().replace(" ", "")
    if plain in _WIDTHS:
        return plain
    return {"float32": "float"}.get(plain) or _NAMES.get(plain, "")


def searching(pattern: str) -> str:
    """Return the pattern whose whole match is a match of another anywhere."""
    return f"[\\s\\S]*(?:{pattern})[\\s\\S]*"


def holding_all(column: str, values: Sequence[object]) -> str:
    """Return the query that counts which of some values a column does not hold."""
    listed = ", ".join(map(literal, values))
    return f"SELECT {len(set(values))} - count(DISTINCT {quote(column)}) FROM rows WHERE {quote(column)} IN ({listed})"


def within(figure: str, low: object, high: object, *, open_low: bool = False, open_high: bool = False) -> str:
    """Return the query that finds 1 wrong when a figure of the table `rows` is out of bounds."""
    bounds = [f"{figure} {'>' if open_low else '>='} {literal(low)}"] * (low is not None)
    bounds += [f"{figure} {'<' if open_high else '<='} {literal(high)}"] * (high is not None)
    return f"SELECT CASE WHEN {' AND '.join(bounds) or 'TRUE'} THEN 0 ELSE 1 END FROM rows"


def comparing(column: str, low: object, high: object, *, open_low: bool, open_high: bool) -> str:
    """Return the condition that a value lies within bounds, some of them open."""
    name = quote(column)
    bounds = [f"{name} {'>' if open_low else '>='} {literal(low)}"] * (low is not None)
    bounds += [f"{name} {'<' if open_high else '<='} {literal(high)}"] * (high is not None)
    return " AND ".join(bounds)
