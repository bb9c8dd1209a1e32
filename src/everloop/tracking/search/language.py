"""The filter language: Python's own grammar with `=~` and `!~`, read by Python's parser and never executed.

    metrics.auc > 0.9 and params.model =~ "lgbm|xgb"
    max(metrics["valid/auc"]) >= 0.91 and tags.team in ("risk", "fraud") and not params.debug
    created_at > "2026-11-01" and "overfit" in note and params.seed is not None

Tests: tests/unit/tracking/search/test_language.py, tests/property/test_search.py.
"""

from __future__ import annotations

import ast
import difflib
import io
import itertools
import re
import tokenize
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast, get_args

from everloop.core.clock import to_microseconds
from everloop.core.errors import InvalidInputError
from everloop.tracking.search.tree import ATTRIBUTES, All, Aspect, Comparison, Field, Not, Order, Some

if TYPE_CHECKING:
    from collections.abc import Sequence

    from everloop.tracking.search.tree import Kind, Operator, Tree, Value

LONGEST_FILTER = 10_000
_DEEPEST = 100
_KINDS: dict[str, Kind] = {"metrics": "metric", "params": "param", "tags": "tag", "inputs": "input"}
_OPERATORS: dict[type[ast.cmpop], Operator] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.In: "in",
    ast.NotIn: "not in",
}
_TURNED: dict[str, Operator] = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


class FilterError(InvalidInputError):
    """A filter or an order cannot be read; the message shows the place."""

    code = "tracking.bad-filter"


def parse(text: str) -> Tree:
    """Return a filter as a tree; an empty one is true everywhere.

    Raises:
        FilterError: with the column of the first wrong character.
    """
    if not text.strip():
        return All()
    if len(text) > LONGEST_FILTER:
        raise FilterError(
            f"the filter has {len(text):,} characters, and {LONGEST_FILTER:,} are read. Shorten it."
        )
    return _Reader(text).read()


def parse_order(terms: Sequence[str]) -> list[Order]:
    """Return the fields to sort by, from texts like `metrics.auc desc`.

    Raises:
        FilterError: a term is no field, or comes twice.
    """
    found: list[Order] = []
    for term in terms:
        words = term.rsplit(None, 1)
        direction = words[1].lower() if len(words) == 2 and words[1].lower() in ("asc", "desc") else ""  # noqa: PLR2004
        order = Order(parse_field(words[0] if direction else term), direction == "desc")
        if any(order.field == other.field for other in found):
            raise FilterError(
                f"{order.field} is twice among the fields to sort by. Name it once.", subject=term
            )
        found.append(order)
    return found


def parse_field(text: str) -> Field:
    """Return the field that a text names.

    Raises:
        FilterError: it is none.
    """
    reader = _Reader(text.strip())
    return reader.field(reader.body())


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._depth = 0

    def read(self) -> Tree:
        return self._tree(self.body())

    def body(self) -> ast.expr:
        try:
            return ast.parse(_with_matches(self._text), mode="eval").body
        except SyntaxError as error:
            is_behind = (error.lineno or 1) > self._text.count("\n") + 1 or not error.offset
            raise self._error(len(self._text) if is_behind else (error.offset or 1) - 1, error.msg) from error
        except (tokenize.TokenError, ValueError, RecursionError, MemoryError) as error:
            raise self._error(0, str(error)) from error

    def _tree(self, node: ast.expr) -> Tree:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._error(node.col_offset, "there are more than 100 parts inside each other")
        try:
            return self._part(node)
        finally:
            self._depth -= 1

    def _part(self, node: ast.expr) -> Tree:
        match node:
            case ast.BoolOp():
                parts = tuple(self._tree(one) for one in node.values)
                return All(parts) if isinstance(node.op, ast.And) else Some(parts)
            case ast.UnaryOp(op=ast.Not()):
                return Not(self._tree(node.operand))
            case ast.BinOp(op=ast.MatMult()):
                return self._match(node)
            case ast.Compare():
                return self._comparisons(node)
            case ast.Constant(value=bool() as value):
                return All() if value else Not(All())
            case _:
                # A field alone asks whether it is there and true: `not params.debug`.
                return Comparison(self.field(node), "==", value=True)

    def _match(self, node: ast.BinOp) -> Tree:
        is_negative = isinstance(node.right, ast.UnaryOp)
        place = node.right.operand if isinstance(node.right, ast.UnaryOp) else node.right
        pattern = self._value(place)
        if not isinstance(pattern, str):
            raise self._error(place.col_offset, 'after =~ stands a regular expression, "lgbm|xgb"')
        try:
            re.compile(pattern)
        except re.error as error:
            raise self._error(place.col_offset, f"{pattern!r} is no regular expression: {error}") from error
        return Comparison(self.field(node.left), "!~" if is_negative else "=~", pattern)

    def _comparisons(self, node: ast.Compare) -> Tree:
        sides = [node.left, *node.comparators]
        found = [
            self._comparison(left, operator, right)
            for left, operator, right in zip(sides, node.ops, sides[1:], strict=False)
        ]
        return found[0] if len(found) == 1 else All(tuple(found))

    def _comparison(self, left: ast.expr, operator: ast.cmpop, right: ast.expr) -> Tree:
        if isinstance(operator, ast.Is | ast.IsNot):
            if not (isinstance(right, ast.Constant) and right.value is None):
                raise self._error(right.col_offset, "`is` asks only for None")
            return Comparison(self.field(left), "null" if isinstance(operator, ast.Is) else "not null")
        sign = _OPERATORS[type(operator)]
        if sign in ("in", "not in"):
            return self._membership(left, sign, right)
        if _is_value(left) and not _is_value(right):
            left, right, sign = right, left, _TURNED[sign]
        field, value = self.field(left), self._value(right)
        if value is None:
            return Comparison(field, "null" if sign == "==" else "not null")
        return Comparison(field, sign, self._fitting(field, value, right))

    def _membership(self, left: ast.expr, sign: Operator, right: ast.expr) -> Tree:
        if isinstance(right, ast.Tuple | ast.List | ast.Set):
            field = self.field(left)
            values = tuple(self._fitting(field, self._value(one), one) for one in right.elts)
            return Comparison(field, sign, values)
        if _is_value(left):
            text = self._value(left)
            return Comparison(self.field(right), "contains" if sign == "in" else "not contains", str(text))
        raise self._error(right.col_offset, 'after `in` stands a list, ("a", "b"); or write "text" in note')

    def field(self, node: ast.expr) -> Field:
        """Return the field that an expression names."""
        match node:
            case ast.Call(func=ast.Name(id=aspect), args=[inner], keywords=[]) if aspect in get_args(Aspect):
                field = self.field(inner)
                if field.kind != "metric":
                    raise self._error(node.col_offset, f"{aspect}() is for metrics")
                return Field("metric", field.name, cast("Aspect", aspect))
            case ast.Name(id=name):
                if name not in ATTRIBUTES:
                    raise self._error(node.col_offset, _unknown(name))
                return Field("run", name)
            case ast.Attribute() | ast.Subscript():
                return self._dotted(node)
            case _:
                raise self._error(
                    node.col_offset, "here should stand a field, like metrics.auc, params.depth or status"
                )

    def _dotted(self, node: ast.expr) -> Field:
        names: list[str] = []
        at = node
        while True:
            match at:
                case ast.Attribute(value=inner, attr=name):
                    names.append(name)
                    at = inner
                case ast.Subscript(value=inner, slice=ast.Constant(value=str(name))):
                    names.append(name)
                    at = inner
                case ast.Name(id=place) if place in _KINDS:
                    return Field(_KINDS[place], ".".join(reversed(names)))
                case ast.Name(id="run"):
                    return self.field(ast.Name(".".join(reversed(names)), col_offset=node.col_offset))
                case _:
                    known = ", ".join(_KINDS)
                    raise self._error(node.col_offset, f"a name with a point begins with one of {known}")

    def _value(self, node: ast.expr) -> Value:
        match node:
            case ast.Constant(value=str() | int() | float() | None as value):
                return value
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
                return -value
            case ast.Call(func=ast.Name(id="float"), args=[ast.Constant(value=str(text))], keywords=[]):
                try:
                    return float(text)
                except ValueError as error:
                    raise self._error(node.col_offset, f"{text!r} is no number") from error
            case _:
                raise self._error(node.col_offset, 'here should stand a value, like 0.9, "lgbm" or None')

    def _fitting(self, field: Field, value: Value, node: ast.expr) -> Value:
        """Return a value in the unit of the field: a date as microseconds since 1970."""
        is_time = (field.kind == "run" and ATTRIBUTES[field.name] == "time") or field.aspect == "time"
        if not is_time or not isinstance(value, str):
            return value
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise self._error(
                node.col_offset, f"{value!r} is no date; write 2026-11-25 or 2026-11-25T13:00"
            ) from None
        return to_microseconds(moment if moment.tzinfo else moment.replace(tzinfo=UTC))

    def _error(self, column: int, reason: str) -> FilterError:
        return FilterError(
            f"the filter cannot be read at column {column + 1}: {reason}. Written was: {self._text[:200]}",
            subject=self._text[:200],
            details={"column": column + 1},
        )


def _with_matches(text: str) -> str:
    """Replace `=~` and `!~`, outside of texts, by operators of as many characters that Python's parser knows: `@ ` and `@-`."""
    letters = list(text)
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    starts = [0, *itertools.accumulate(len(line) for line in text.splitlines(keepends=True))]
    for first, second in itertools.pairwise(tokens):
        if first.string in ("=", "!") and second.string == "~" and first.end == second.start:
            at = starts[first.start[0] - 1] + first.start[1]
            letters[at : at + 2] = "@ " if first.string == "=" else "@-"
    return "".join(letters)


def _is_value(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) or (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub))


def _unknown(name: str) -> str:
    known = [*ATTRIBUTES, *_KINDS]
    near = difflib.get_close_matches(name, known, 1)
    meant = f"; did you mean {near[0]}?" if near else ""
    return f"a run has no {name}{meant} There are {', '.join(ATTRIBUTES)}, and metrics.x, params.x, tags.x, inputs.x"
