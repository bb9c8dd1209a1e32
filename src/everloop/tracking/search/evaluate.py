"""Which runs a filter chooses, in which order, counted and grouped: vector operations on columns, no I/O of their own.

A comparison with a missing value is false, whatever the operator, so `not` of it is true; NaN compares false with everything.
Laws, against a slow reading of each run: tests/property/test_search.py.
"""

from __future__ import annotations

import fnmatch
import math
import operator
import re
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from everloop.tracking.search.columns import NumberColumn, TextColumn, sort_key
from everloop.tracking.search.tree import All, Comparison, Not, Some

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from everloop.tracking.search.columns import Column
    from everloop.tracking.search.tree import Field, Order, Tree, Value

    Mask = npt.NDArray[np.bool_]
    Keys = npt.NDArray[np.float64]

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
# Sort keys are floats: what has no place among numbers is put above all of them, infinities of values a little below.
_HUGE, _NAN, _MISSING = 1.795e308, 1.797e308, math.inf


class Source(Protocol):
    """Gives columns to an evaluation. Called by one thread."""

    @property
    def room(self) -> int:
        """Return the length of the columns."""
        ...

    def column(self, field: Field) -> Column:
        """Return a column of values."""
        ...

    def special(self, comparison: Comparison) -> Mask | None:
        """Return the runs of a comparison that no column answers (ids, experiments, parents); None for others."""
        ...


def choose(tree: Tree, source: Source) -> Mask:
    """Return which runs a filter is true for, by run number."""
    match tree:
        case Comparison():
            found = source.special(tree)
            return _compare(source.column(tree.field), tree) if found is None else found
        case All(parts=parts):
            mask = np.ones(source.room, bool)
            for part in parts:
                mask &= choose(part, source)
            return mask
        case Some(parts=parts):
            mask = np.zeros(source.room, bool)
            for part in parts:
                mask |= choose(part, source)
            return mask
        case Not(part=part):
            return ~choose(part, source)


def _compare(column: Column, asked: Comparison) -> Mask:
    if asked.operator == "null":
        return ~column.present
    if asked.operator == "not null":
        return column.present.copy()
    if isinstance(column, NumberColumn):
        return _compare_numbers(column.numbers, column.present, asked)
    if asked.operator in ("<", "<=", ">", ">=") and _is_number(asked.value):
        return _compare_numbers(column.numbers, column.present, asked)
    matches = test(asked)
    hits = np.fromiter((matches(value) for value in column.values), bool, len(column.values))
    return np.append(hits, False)[column.codes]


def _compare_numbers(numbers: Keys, present: Mask, asked: Comparison) -> Mask:
    known: Mask = present & ~np.isnan(numbers)
    if asked.operator in ("in", "not in"):
        wanted = [float(value) for value in asked.value if _is_number(value)]  # type: ignore[union-attr, arg-type] # a tuple of plain values
        found = np.isin(numbers, wanted)
        return known & (found if asked.operator == "in" else ~found)
    if asked.operator not in _COMPARE:
        matches = test(asked)
        hits = np.fromiter((matches(value) for value in numbers.tolist()), bool, len(numbers))
        known[~hits] = False
        return known
    if not _is_number(asked.value):
        # A number never equals a text; `!=` is then true wherever there is a number.
        return known if asked.operator == "!=" else np.zeros(len(numbers), bool)
    compared: Mask = _COMPARE[asked.operator](numbers, float(asked.value))  # type: ignore[arg-type] # a number
    return known & compared


def test(asked: Comparison) -> Callable[[Value], bool]:
    """Return what says of one value that is there whether the comparison is true."""
    value, sign = asked.value, asked.operator
    if sign in ("in", "not in"):
        wanted = value if isinstance(value, tuple) else (value,)
        return lambda one: any(_equal(one, other) for other in wanted) == (sign == "in")
    if sign in ("contains", "not contains"):
        part = str(value).lower()
        return lambda one: (part in str(one).lower()) == (sign == "contains")
    if sign in ("=~", "!~"):
        search = re.compile(str(value)).search
        return lambda one: (search(str(one)) is not None) == (sign == "=~")
    if sign in ("==", "!="):
        return lambda one: _equal(one, value) == (sign == "==")  # type: ignore[arg-type] # no tuple here
    compare = _COMPARE[sign]
    return lambda one: _comparable(one, value) and bool(compare(one, value))


def _equal(one: Value, other: Value) -> bool:
    if _is_number(one) and _is_number(other):
        return one == other
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other or str(one).lower() == str(other).lower()
    return one == other or (isinstance(one, str) != isinstance(other, str) and str(one) == str(other))


def _comparable(one: object, other: object) -> bool:
    return (_is_number(one) and _is_number(other)) or (isinstance(one, str) and isinstance(other, str))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def like(pattern: str, *, ignores_case: bool = False) -> str:
    """Return the regular expression of a LIKE pattern, where % stands for any text and _ for any character."""
    text = "".join(".*" if one == "%" else "." if one == "_" else re.escape(one) for one in pattern)
    return f"(?s{'i' if ignores_case else ''})^{text}\\Z"


def matches_any(patterns: Sequence[str], text: str) -> bool:
    """Say whether a text fits one of some shell patterns."""
    return any(fnmatch.fnmatchcase(text, pattern) for pattern in patterns)


# -- order -----------------------------------------------------------------------------------------------------------


def sort_keys(order: Order, source: Source) -> Keys:
    """Return a number for each run that is smaller where the run comes earlier."""
    column = source.column(order.field)
    sign = -1.0 if order.is_descending else 1.0
    if isinstance(column, TextColumn):
        places = np.append(sign * column.ranks, _MISSING)
        return places[column.codes]
    keys = np.clip(sign * column.numbers, -_HUGE, _HUGE)
    keys[np.isnan(column.numbers)] = _NAN
    keys[~column.present] = _MISSING
    return keys


def key_of(order: Order, source: Source, value: Value, *, is_missing: bool) -> float:
    """Return the sort key of a value that a page ended with, also when no run has it any more."""
    if is_missing:
        return _MISSING
    column = source.column(order.field)
    sign = -1.0 if order.is_descending else 1.0
    if isinstance(column, NumberColumn):
        number = math.nan if value is None else float(value)
        return _NAN if math.isnan(number) else min(max(sign * number, -_HUGE), _HUGE)
    before = sum(sort_key(one) < sort_key(value) for one in column.values)
    is_there = any(sort_key(one) == sort_key(value) for one in column.values)
    return sign * (before if is_there else before - 0.5)


def first(keys: Sequence[Keys], chosen: npt.NDArray[np.int64], limit: int) -> npt.NDArray[np.int64]:
    """Return the first `limit` of the chosen runs in the order of their keys; runs of equal keys newest first."""
    return _first([*keys, -np.arange(len(keys[0]), dtype=float)] if keys else [], chosen, limit)


def _first(keys: Sequence[Keys], chosen: npt.NDArray[np.int64], limit: int) -> npt.NDArray[np.int64]:
    if not keys:
        return chosen[::-1][:limit]
    values = keys[0][chosen]
    if len(chosen) <= limit:
        order = np.lexsort([key[chosen] for key in reversed(keys)])
        return chosen[order]
    border = np.partition(values, limit - 1)[limit - 1]
    before = chosen[values < border]
    order = np.lexsort([key[before] for key in reversed(keys)])
    ties = _first(keys[1:], chosen[values == border], limit - len(before))
    return np.concatenate([before[order], ties])


def after(
    keys: Sequence[Keys], last: Sequence[float], number: int, chosen: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Return those of the chosen runs that come after a run with the keys `last` and this number."""
    later = np.zeros(len(chosen), bool)
    same = np.ones(len(chosen), bool)
    for key, value in zip(keys, last, strict=True):
        mine = key[chosen]
        later |= same & (mine > value)
        same &= mine == value
    return chosen[later | (same & (chosen < number))]


# -- counts ----------------------------------------------------------------------------------------------------------


def top_values(column: TextColumn, chosen: npt.NDArray[np.int64], limit: int) -> list[tuple[Value, int]]:
    """Return the most frequent values among some runs, with how many have each."""
    codes = column.codes[chosen]
    counts = np.bincount(codes[codes >= 0], minlength=len(column.values))
    order = np.argsort(-counts, kind="stable")[:limit]
    return [(column.values[code], int(counts[code])) for code in order.tolist() if counts[code]]


def groups(
    columns: Sequence[Column], chosen: npt.NDArray[np.int64]
) -> tuple[list[tuple[Value, ...]], npt.NDArray[np.int64]]:
    """Return the different combinations of values among some runs, and for each run the place of its own."""
    places = np.zeros(len(chosen), np.int64)
    values: list[list[Value]] = []
    for column in columns:
        if isinstance(column, TextColumn):
            mine, known = column.codes[chosen].astype(np.int64) + 1, [None, *column.values]
        else:
            numbers = np.where(column.present[chosen], column.numbers[chosen], np.nan)
            unique, mine = np.unique(numbers, return_inverse=True)
            known = [None if value != value else value for value in unique.tolist()]  # noqa: PLR0124 - NaN
        values.append(known)
        places = places * len(known) + mine
    unique, inverse = np.unique(places, return_inverse=True)
    found = []
    for place in unique.tolist():
        rest, row = place, []
        for known in reversed(values):
            rest, at = divmod(rest, len(known))
            row.append(known[at])
        found.append(tuple(reversed(row)))
    return found, inverse
