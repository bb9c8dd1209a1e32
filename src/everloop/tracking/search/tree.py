"""A filter as a tree: what every grammar is translated into. Tests: tests/unit/tracking/search/test_language.py."""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["run", "metric", "param", "tag", "input"]
Aspect = Literal["value", "min", "max", "count", "step", "time"]
Operator = Literal[
    "==",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "=~",
    "!~",
    "in",
    "not in",
    "contains",
    "not contains",
    "null",
    "not null",
]
Value = str | int | float | bool | None
# What may be asked of a run itself, and whether it is a text, a time or a number.
ATTRIBUTES: dict[str, Literal["text", "time", "number"]] = {
    "id": "text",
    "name": "text",
    "experiment": "text",
    "status": "text",
    "owner": "text",
    "note": "text",
    "error": "text",
    "output": "text",
    "created_at": "time",
    "ended_at": "time",
    "duration": "number",
    "parent": "text",
}


class Field(msgspec.Struct, frozen=True):
    """A place where runs have a value.

    Attributes:
        kind: of the value; `run` for an attribute of the run itself.
        name: of the metric, param, tag, input or attribute.
        aspect: of a metric: its latest value, least, greatest, number of points, or the step or time of the latest.
    """

    kind: Kind
    name: str
    aspect: Aspect = "value"

    def __str__(self) -> str:
        """Return the field as it is written in a filter."""
        if self.kind == "run":
            return self.name
        place = f"{self.kind}s"
        text = f"{place}.{self.name}" if _is_dotted(self.name) else f"{place}[{self.name!r}]"
        return text if self.aspect == "value" else f"{self.aspect}({text})"


class Comparison(msgspec.Struct, frozen=True, tag=True):
    """A field against a value; for `in` the value is a tuple, for `null` it is None."""

    field: Field
    operator: Operator
    value: Value | tuple[Value, ...] = None


class All(msgspec.Struct, frozen=True, tag=True):
    """True where each of the parts is; of none, true everywhere."""

    parts: tuple[Tree, ...] = ()


class Some(msgspec.Struct, frozen=True, tag=True):
    """True where one of the parts is."""

    parts: tuple[Tree, ...]


class Not(msgspec.Struct, frozen=True, tag=True):
    """True where the part is not."""

    part: Tree


Tree = Comparison | All | Some | Not


class Order(msgspec.Struct, frozen=True):
    """A field to sort by; runs without a value come last in both directions, NaN before them."""

    field: Field
    is_descending: bool = False


def fields_of(tree: Tree) -> set[Field]:
    """Return the fields that a filter looks at."""
    match tree:
        case Comparison():
            return {tree.field}
        case Not():
            return fields_of(tree.part)
        case _:
            return set().union(*(fields_of(part) for part in tree.parts))


def _is_dotted(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))
