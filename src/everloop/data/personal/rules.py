"""What a masking policy says, and whether it fits a table; pure. Tests: tests/unit/data/personal/test_masking.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from everloop.core.errors import InvalidInputError
from everloop.data.personal.records import MaskMethod, MaskRule

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from everloop.data.records import Column

_METHODS: tuple[MaskMethod, ...] = get_args(MaskMethod)
_INTEGERS = ("int", "uint")
_FLOATS = ("float", "double", "halffloat")
_TIMES = ("date", "timestamp")
_SPANS = ("month", "year", "decade")


class MaskPolicyError(InvalidInputError):
    """A masking policy names an unknown column or method, or a method that does not fit a column's type."""

    code = "data.mask-policy"


def parse_policy(policy: Mapping[str, str], columns: Sequence[Column]) -> list[MaskRule]:
    """Return the rules of a policy, `{"email": "hash", "zip": "generalize:3"}`, in the order of the columns.

    Raises:
        MaskPolicyError: as named; every fault is in the message.
    """
    types = {column.name: column.type for column in columns}
    parsed = {name: _parse(name, text) for name, text in policy.items()}
    faults = [fault for name, rule in parsed.items() if (fault := _fault(rule, types.get(name)))]
    if not parsed:
        faults = ["it names no column"]
    elif not faults and all(rule.method == "drop" for rule in parsed.values()) and len(parsed) == len(types):
        faults = ["it drops every column"]
    if faults:
        raise MaskPolicyError(
            f"this policy cannot be used: {'; '.join(faults)}. Columns: {', '.join(types)}. Methods: {', '.join(_METHODS)}.",
            details={"faults": faults},
        )
    return [parsed[name] for name in types if name in parsed]


def kept_keys(keys: Sequence[str], rules: Sequence[MaskRule]) -> list[str]:
    """Return the keys of the derived version: those of the source when each still names its row, else none."""
    methods = {rule.column: rule.method for rule in rules}
    return list(keys) if all(methods.get(key, "hash") == "hash" for key in keys) else []


def kept_time(column: str, rules: Sequence[MaskRule]) -> str:
    """Return the time column of the derived version: the source's when it still holds times."""
    method = next((rule.method for rule in rules if rule.column == column), "generalize")
    return column if method == "generalize" else ""


def is_integer(kind: str) -> bool:
    """Return whether an Arrow type holds whole numbers."""
    return kind.startswith(_INTEGERS)


def is_time(kind: str) -> bool:
    """Return whether an Arrow type holds dates or times."""
    return kind.startswith(_TIMES)


def _parse(name: str, text: str) -> MaskRule:
    method, _, argument = text.partition(":")
    # An unknown method is a fault of the policy, which `_fault` names.
    return MaskRule(column=name, method=method.strip(), argument=argument)  # type: ignore[arg-type]


def _fault(rule: MaskRule, kind: str | None) -> str:
    name, method, argument = rule.column, rule.method, rule.argument
    if kind is None:
        return f"there is no column {name}"
    if method not in _METHODS:
        return f"{name}: there is no method {method!r}"
    is_number = is_integer(kind) or kind.startswith(_FLOATS)
    fits = {
        "drop": True,
        "redact": True,
        "hash": not kind.startswith(("list", "struct", "map", "fixed_size_list")),
        "keep-format": kind == "string" or is_integer(kind),
        "generalize": kind == "string" or is_number or is_time(kind),
    }[method]
    if not fits:
        return f"{name}: {method} does not fit {kind}"
    if argument and (method in ("drop", "hash", "keep-format") or (method == "redact" and kind != "string")):
        return f"{name}: {method} takes no argument"
    return _argument_fault(rule, kind) if method == "generalize" and argument else ""


def _argument_fault(rule: MaskRule, kind: str) -> str:
    name, argument = rule.column, rule.argument
    if is_time(kind):
        return "" if argument in _SPANS else f"{name}: generalize a time to {', '.join(_SPANS)}"
    if kind == "string" or is_integer(kind):
        what = "how many characters stay" if kind == "string" else "how wide a bin is"
        return "" if argument.isdecimal() and int(argument) > 0 else f"{name}: generalize:N says {what}"
    try:
        is_width = 0 < float(argument) < float("inf")
    except ValueError:
        is_width = False
    return "" if is_width else f"{name}: generalize:N says how wide a bin is"
