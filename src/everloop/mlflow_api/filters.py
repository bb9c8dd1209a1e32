"""MLflow's filters and orders: comparisons joined by AND, like metrics.`a b` > 1 AND params.x ILIKE '%y%'.

For runs they become the tree of `tracking.search`; experiments and models, of which there are few, are looked at one by one.
Tests: tests/unit/mlflow_api/test_filters.py.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from everloop.mlflow_api.errors import BadParameterError
from everloop.tracking.search import evaluate
from everloop.tracking.search.tree import All, Comparison, Field, Order, Some

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from everloop.tracking.search.tree import Kind, Operator, Tree

T = TypeVar("T")
Text = str | float | tuple[str, ...] | None

# Each comparison is looked for in the rest of the text; longer texts would cost seconds.
LONGEST = 64 << 10
_KINDS = {
    "metric": "metric", "metrics": "metric",
    "param": "param", "params": "param", "parameter": "param", "parameters": "param",
    "tag": "tag", "tags": "tag",
    "attribute": "attribute", "attributes": "attribute", "attr": "attribute", "run": "attribute",
    "dataset": "dataset", "datasets": "dataset",
    "trace": "attribute", "metadata": "metadata", "request_metadata": "metadata",
}  # fmt: skip
_QUOTED = r"`[^`]+`|\"[^\"]+\""
_KEY = re.compile(rf"\s*(?:(\w+)\s*\.\s*)?({_QUOTED}|[^\s=<>!()'\"`,]+)")
_OPERATOR = re.compile(
    r"\s*(>=|<=|!=|=|>|<|NOT\s+IN\b|IN\b|NOT\s+LIKE\b|LIKE\b|ILIKE\b|IS\s+NOT\s+NULL\b|IS\s+NULL\b)",
    re.IGNORECASE,
)
_TEXT = re.compile(r"\s*(?:'((?:[^']|'')*)'|\"([^\"]*)\")")
_NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?![\w.])")
_AND = re.compile(r"\s*AND\b", re.IGNORECASE)
_ORDER = re.compile(r"(.+?)(?:\s+(ASC|DESC))?\s*\Z", re.IGNORECASE | re.DOTALL)
_NUMERIC = (">=", ">", "!=", "=", "<", "<=")
_TEXTUAL = ("=", "!=", "LIKE", "ILIKE", "NOT LIKE", "IN", "NOT IN", "IS NULL", "IS NOT NULL")


class Clause(NamedTuple):
    """One comparison: `metric`, `param`, `tag`, `attribute` or `dataset`, a key, an operator in capitals, a value."""

    kind: str
    key: str
    operator: str
    value: Text


def parse(text: str) -> list[Clause]:
    """Return the comparisons of a filter, all of which must hold.

    Raises:
        BadParameterError: with the place that cannot be read.
    """
    if len(text) > LONGEST:
        raise BadParameterError(
            f"Invalid filter string: it has {len(text):,} characters, and at most {LONGEST:,} are read."
        )
    found: list[Clause] = []
    at = 0
    while text[at:].strip():
        if found:
            joint = _AND.match(text, at)
            if joint is None:
                raise _unreadable(text, at, "comparisons are joined by AND")
            at = joint.end()
        clause, at = _clause(text, at)
        found.append(clause)
    return found


def _clause(text: str, at: int) -> tuple[Clause, int]:
    kind, key, at = _key(text, at)
    operator = _OPERATOR.match(text, at)
    if operator is None:
        raise _unreadable(text, at, "a comparison needs an operator")
    sign = " ".join(operator[1].upper().split())
    at = operator.end()
    if sign in ("IS NULL", "IS NOT NULL"):
        return Clause(kind, key, sign, None), at
    value, at = _many(text, at) if sign in ("IN", "NOT IN") else _value(text, at)
    return Clause(kind, key, sign, value), at


def _key(text: str, at: int) -> tuple[str, str, int]:
    match = _KEY.match(text, at)
    if match is None:
        raise _unreadable(text, at, "a comparison begins with a key")
    kind, key = match[1], match[2]
    if kind is None and key[0] not in '`"' and "." in key:
        kind, _, key = key.partition(".")
    if not key:
        raise _unreadable(text, at, "a comparison begins with a key")
    if kind is not None and kind.lower() not in _KINDS:
        raise BadParameterError(
            f"Invalid entity type '{kind}'. Valid values are metrics, params, tags, attributes and datasets."
        )
    return _KINDS[kind.lower()] if kind else "attribute", _bare(key), match.end()


def _bare(key: str) -> str:
    return key[1:-1] if key[0] in '`"' else key


def _value(text: str, at: int) -> tuple[str | float, int]:
    match = _TEXT.match(text, at)
    if match is not None:
        return (match[1].replace("''", "'") if match[1] is not None else match[2]), match.end()
    match = _NUMBER.match(text, at)
    if match is None:
        raise _unreadable(text, at, "a value is a number, or a text in quotes")
    return float(match[1]), match.end()


def _many(text: str, at: int) -> tuple[tuple[str, ...], int]:
    rest = text[at:].lstrip()
    if not rest.startswith("("):
        raise _unreadable(text, at, "IN takes a list in parentheses")
    at = len(text) - len(rest) + 1
    found: list[str] = []
    while not text[at:].lstrip().startswith(")"):
        if found:
            if not text[at:].lstrip().startswith(","):
                raise _unreadable(text, at, "a list has commas between its texts and ends with a parenthesis")
            at = text.index(",", at) + 1
        value, at = _value(text, at)
        if not isinstance(value, str):
            raise _unreadable(text, at, "a list holds texts in quotes")
        found.append(value)
    if not found:
        raise _unreadable(text, at, "a list holds at least one text")
    return tuple(found), text.index(")", at) + 1


def _unreadable(text: str, at: int, reason: str) -> BadParameterError:
    return BadParameterError(f"Invalid filter string: {reason}, at column {at + 1} of {text[:200]!r}.")


# -- runs ------------------------------------------------------------------------------------------------------------

_SIGNS: dict[str, Operator] = {
    "=": "==", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">=",
    "IN": "in", "NOT IN": "not in", "IS NULL": "null", "IS NOT NULL": "not null",
}  # fmt: skip
_TEXT_ATTRIBUTES = {
    "run_id": "id", "run_name": "name", "run name": "name", "Run name": "name", "Run Name": "name",
    "status": "status", "user_id": "owner",
}  # fmt: skip
_TIME_ATTRIBUTES = {
    "start_time": "created_at", "created": "created_at", "Created": "created_at", "end_time": "ended_at",
}  # fmt: skip
_KEYED: dict[str, Kind] = {"metric": "metric", "param": "param", "tag": "tag"}


def as_tree(clause: Clause) -> Tree:
    """Return a comparison of runs as a tree.

    Raises:
        BadParameterError: the operator or the value does not fit the key.
    """
    if clause.kind == "metric":
        _fits(clause, _NUMERIC, is_number=True)
        return Comparison(Field("metric", clause.key), _SIGNS[clause.operator], clause.value)
    if clause.kind in _KEYED:
        _fits(clause, _TEXTUAL)
        return _textual(Field(_KEYED[clause.kind], clause.key), clause)
    if clause.kind != "attribute":
        raise BadParameterError(f"Runs have no {clause.kind} to search for.")
    if clause.key in _TIME_ATTRIBUTES:
        _fits(clause, _NUMERIC, is_number=True)
        return _timely(Field("run", _TIME_ATTRIBUTES[clause.key]), clause)
    if clause.key not in _TEXT_ATTRIBUTES:
        known = ", ".join(sorted({*_TEXT_ATTRIBUTES, *_TIME_ATTRIBUTES}))
        raise BadParameterError(f"Invalid attribute key '{clause.key}'. Valid keys are: {known}.")
    _fits(clause, _TEXTUAL)
    lowered = _lowered(clause) if clause.key == "status" else clause
    return _textual(Field("run", _TEXT_ATTRIBUTES[clause.key]), lowered)


def _lowered(clause: Clause) -> Clause:
    value = clause.value
    if isinstance(value, tuple):
        return clause._replace(value=tuple(one.lower() for one in value))
    return clause._replace(value=str(value).lower())


def _textual(field: Field, clause: Clause) -> Tree:
    if clause.operator in ("LIKE", "ILIKE", "NOT LIKE"):
        pattern = evaluate.like(str(clause.value), ignores_case=clause.operator == "ILIKE")
        return Comparison(field, "!~" if clause.operator == "NOT LIKE" else "=~", pattern)
    return Comparison(field, _SIGNS[clause.operator], clause.value)


def _timely(field: Field, clause: Clause) -> Tree:
    """Compare a time, kept in microseconds, with milliseconds."""
    assert isinstance(clause.value, float)  # noqa: S101 - checked by `_fits`
    first = clause.value * 1000
    end = first + 1000
    match clause.operator:
        case "=":
            return All((Comparison(field, ">=", first), Comparison(field, "<", end)))
        case "!=":
            return Some((Comparison(field, "<", first), Comparison(field, ">=", end)))
        case ">":
            return Comparison(field, ">=", end)
        case "<=":
            return Comparison(field, "<", end)
        case _:
            return Comparison(field, _SIGNS[clause.operator], first)


def _fits(clause: Clause, operators: Sequence[str], *, is_number: bool = False) -> None:
    if clause.operator not in operators:
        raise BadParameterError(
            f"Invalid comparator '{clause.operator}' for {clause.kind} '{clause.key}': one of {', '.join(operators)}."
        )
    if clause.value is not None and isinstance(clause.value, float) != is_number:
        wanted = "a number" if is_number else "a text in quotes"
        raise BadParameterError(f"Expected {wanted} for {clause.kind} '{clause.key}', got {clause.value!r}.")


def run_orders(texts: Sequence[str]) -> list[Order]:
    """Return the order of runs; by their start, newest first, where none is asked.

    Raises:
        BadParameterError: a key is unknown or comes twice.
    """
    found = []
    for kind, key, is_descending in orders(texts):
        if kind in _KEYED:
            field = Field(_KEYED[kind], key)
        else:
            name = _TIME_ATTRIBUTES.get(key) or _TEXT_ATTRIBUTES.get(key)
            if name is None:
                raise BadParameterError(f"Invalid attribute key '{key}' in order_by.")
            field = Field("run", name)
        found.append(Order(field, is_descending))
    return found or [Order(Field("run", "created_at"), is_descending=True)]


def orders(texts: Sequence[str]) -> list[tuple[str, str, bool]]:
    """Return kind, key and whether it is descending, of each order.

    Raises:
        BadParameterError: one cannot be read, or a key comes twice.
    """
    found: list[tuple[str, str, bool]] = []
    for text in texts:
        whole = _ORDER.match(text.strip())
        if whole is None:
            raise BadParameterError("Invalid order_by clause: it is empty.")
        kind, key, end = _key(whole[1], 0)
        if whole[1][end:].strip():
            raise BadParameterError(f"Invalid order_by clause '{text[:200]}'.")
        if any((kind, key) == one[:2] for one in found):
            raise BadParameterError(f"`order_by` contains duplicate fields: {text[:200]}")
        found.append((kind, key, (whole[2] or "").upper() == "DESC"))
    return found


# -- everything else -------------------------------------------------------------------------------------------------


def holds(clause: Clause, value: str | float | None) -> bool:
    """Say whether a comparison holds for a value; for one that is missing only IS NULL does."""
    if clause.operator in ("IS NULL", "IS NOT NULL"):
        return (value is None) == (clause.operator == "IS NULL")
    if value is None:
        return False
    if clause.operator in ("LIKE", "ILIKE", "NOT LIKE"):
        pattern = evaluate.like(str(clause.value), ignores_case=clause.operator == "ILIKE")
        return (re.search(pattern, str(value)) is not None) == (clause.operator != "NOT LIKE")
    return evaluate.test(Comparison(Field("run", clause.key), _SIGNS[clause.operator], clause.value))(value)


def choose(
    items: Sequence[T], text: str, order_by: Sequence[str], value: Callable[[T, str, str], str | float | None]
) -> list[T]:
    """Return the items that a filter chooses, in an order; `value` tells an item's value by kind and key.

    Raises:
        BadParameterError: see `parse`.
    """
    clauses = parse(text)
    found = [item for item in items if all(holds(one, value(item, one.kind, one.key)) for one in clauses)]
    return sort(found, order_by, value)


def sort(
    items: Sequence[T], order_by: Sequence[str], value: Callable[[T, str, str], str | float | None]
) -> list[T]:
    """Return the items in an order, those without a value last.

    Raises:
        BadParameterError: see `orders`.
    """
    found = list(items)
    for kind, key, is_descending in reversed(orders(order_by)):
        known = [item for item in found if value(item, kind, key) is not None]
        missing = [item for item in found if value(item, kind, key) is None]
        known.sort(key=lambda item: _rank(value(item, kind, key)), reverse=is_descending)
        found = known + missing
    return found


def _rank(value: str | float | None) -> tuple[int, float, str]:
    return (1, 0.0, value) if isinstance(value, str) else (0, value or 0.0, "")
