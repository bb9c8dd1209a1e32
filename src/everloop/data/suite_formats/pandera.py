"""Pandera schemas: the object, and its YAML or JSON (checks inside of a column, or under `checks` as older versions wrote).

Tests: tests/unit/data/suite_formats/test_pandera.py.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from everloop.data import checks as make
from everloop.data.check_kinds import InvalidCheckError
from everloop.data.engine import literal, quote
from everloop.data.suite_formats.notes import comparing, holding_all, searching, type_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from everloop.data.records import Check
    from everloop.data.suite_formats.notes import Notes

    Given: TypeAlias = dict[str, Any]

_ATTRIBUTES = {
    "dtype", "nullable", "unique", "required", "coerce", "regex", "checks", "title", "description", "metadata", "default",
    "drop_invalid_rows", "parsers", "report_duplicates",
}  # fmt: skip


def describe_schema(schema: Any) -> Given:  # noqa: ANN401 - a pandera DataFrameSchema of any backend
    """Return a schema object in the form of its YAML, with checks as a list of name, statistics and options."""
    columns = {
        str(name): {
            "dtype": None if column.dtype is None else str(column.dtype),
            "nullable": column.nullable,
            "unique": column.unique,
            "required": column.required,
            "coerce": column.coerce,
            "regex": bool(getattr(column, "regex", False)),
            "checks": [_described(check) for check in column.checks],
        }
        for name, column in schema.columns.items()
    }
    return {
        "name": schema.name,
        "columns": columns,
        "strict": schema.strict,
        "unique": schema.unique,
        "index": getattr(schema, "index", None),
        "checks": [_described(check) for check in schema.checks],
    }


def translate_schema(schema: Given, notes: Notes) -> str:
    """Translate a schema; return its name."""
    columns: dict[str, Given] = {name: found or {} for name, found in schema["columns"].items()}
    required = [
        name for name, found in columns.items() if found.get("required", True) and not found.get("regex")
    ]
    is_strict = schema.get("strict") is True
    is_whole = len(required) == len(columns)
    if required:
        notes.add("table", "required", lambda: [make.has_columns(*required, only=is_strict and is_whole)])
    if is_strict and not is_whole:
        notes.leave("table", "strict", "some columns are optional, so others cannot be refused here")
    elif schema.get("strict") == "filter":
        notes.leave("table", "strict", "a check does not remove columns")
    unique = schema.get("unique")
    if unique:
        together = [unique] if isinstance(unique, str) else list(unique)
        notes.add("table", "unique", lambda: [make.unique(*together)])
    for name, found in columns.items():
        _column(name, found, notes)
    for rule, _, _ in _listed(schema.get("checks")):
        notes.leave(
            "table", rule, "a check of the whole frame is a function; write an expression or python check"
        )
    if schema.get("index"):
        notes.leave("table", "index", "a dataset has no index; make it a column")
    return str(schema.get("name") or "")


def _described(check: Any) -> tuple[str, Given, Given]:  # noqa: ANN401 - a pandera Check
    options = {"raise_warning": check.raise_warning, "ignore_na": getattr(check, "ignore_na", True)}
    is_grouped = bool(getattr(check, "groupby", None))
    return (check.name or "function", dict(check.statistics or {}), {**options, "groupby": is_grouped})


def _column(name: str, found: Given, notes: Notes) -> None:
    if found.get("regex"):
        notes.leave(name, "regex", "a check names one column")
        return
    if not found.get("required", True):
        notes.leave(name, "required", "in part: the column is optional there, and its checks demand it here")
    kind = found.get("dtype")
    if kind:
        ours = type_of(kind)
        if ours:
            notes.add(name, "dtype", lambda: [make.of_type(name, ours)])
        else:
            notes.leave(name, "dtype", f"the type {kind} is not known here")
    if not found.get("nullable", False):
        notes.add(name, "nullable", lambda: [make.not_null(name)])
    if found.get("unique"):
        notes.add(name, "unique", lambda: [make.unique(name)])
    for attribute in ("coerce", "default", "parsers", "drop_invalid_rows"):
        if found.get(attribute):
            notes.leave(name, attribute, "a check does not change data")
    own = {key: value for key, value in found.items() if key not in _ATTRIBUTES}
    for rule, statistics, options in [*_listed(found.get("checks")), *_listed(own)]:
        _check(name, rule, statistics, options, notes)


def _listed(found: Any) -> list[tuple[str, Any, Given]]:  # noqa: ANN401 - a mapping, or a list of either form
    if not found:
        return []
    if isinstance(found, dict):
        return [_split(rule, value) for rule, value in found.items()]
    listed: list[tuple[str, Any, Given]] = []
    for one in found:
        listed += [one] if isinstance(one, tuple) else _listed(one)
    return listed


def _split(rule: str, value: Any) -> tuple[str, Any, Given]:  # noqa: ANN401
    if isinstance(value, dict) and "options" in value:
        rest = {key: item for key, item in value.items() if key != "options"}
        options = value["options"] or {}
        return options.get("check_name") or rule, rest.get("value", rest), options
    return rule, value, {}


def _check(column: str, rule: str, statistics: Any, options: Given, notes: Notes) -> None:  # noqa: ANN401
    if rule not in _MAKERS:
        notes.leave(column, rule, "it is a function, or a check that is not known here; write a python check")
        return
    if options.get("groupby"):
        notes.leave(column, rule, "it looks at groups")
        return
    if options.get("ignore_na") is False:
        notes.leave(column, rule, "in part: a missing value passes here")
    severity = "warn" if options.get("raise_warning") else "fail"
    names, build = _MAKERS[rule]
    given = statistics if isinstance(statistics, dict) else {names[0]: statistics}
    values = [_plain(given.get(name)) for name in names]
    notes.add(column, rule, lambda: build(column, values, {"severity": severity}))


def _plain(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list | tuple | set | frozenset):
        items = [_plain(item) for item in value]
        return sorted(items, key=str) if isinstance(value, set | frozenset) else items
    return value


def _strict(column: str, low: object, high: object, options: Given) -> list[Check]:
    condition = comparing(column, low, high, open_low=True, open_high=True)
    return [make.expression(condition, **options)]


def _in_range(column: str, values: list[Any], options: Given) -> list[Check]:
    low, high, takes_low, takes_high = values
    if takes_low is False or takes_high is False:
        condition = comparing(column, low, high, open_low=takes_low is False, open_high=takes_high is False)
        return [make.expression(condition, **options)]
    return [make.between(column, low, high, **options)]


def _length(column: str, values: list[Any], options: Given) -> list[Check]:
    low, high, exact = values
    return [
        make.length(
            column, exact if exact is not None else low, exact if exact is not None else high, **options
        )
    ]


def _compared(sign: str) -> Callable[[str, list[Any], Given], list[Check]]:
    return lambda column, values, options: [
        make.expression(f"{quote(column)} {sign} {literal(values[0])}", **options)
    ]


def _called(function: str) -> Callable[[str, list[Any], Given], list[Check]]:
    return lambda column, values, options: [
        make.expression(f"{function}({quote(column)}, {literal(values[0])})", **options)
    ]


def _same_values(column: str, values: list[Any], options: Given) -> list[Check]:
    if not values[0]:
        raise InvalidCheckError("it names no values")
    return [make.in_set(column, values[0], **options), make.sql(holding_all(column, values[0]), **options)]


# Names of a check's statistics, and what makes ours of their values.
_MAKERS: dict[str, tuple[list[str], Callable[[str, list[Any], Given], list[Check]]]] = {
    "equal_to": (["value"], _compared("=")),
    "not_equal_to": (["value"], _compared("<>")),
    "greater_than": (["min_value"], lambda c, v, o: _strict(c, v[0], None, o)),
    "less_than": (["max_value"], lambda c, v, o: _strict(c, None, v[0], o)),
    "greater_than_or_equal_to": (["min_value"], lambda c, v, o: [make.between(c, v[0], None, **o)]),
    "less_than_or_equal_to": (["max_value"], lambda c, v, o: [make.between(c, None, v[0], **o)]),
    "in_range": (["min_value", "max_value", "include_min", "include_max"], _in_range),
    "isin": (["allowed_values"], lambda c, v, o: [make.in_set(c, v[0], **o)]),
    "notin": (["forbidden_values"], lambda c, v, o: [make.not_in_set(c, v[0], **o)]),
    # Pandera matches from the start of a text, as re.match does.
    "str_matches": (["pattern"], lambda c, v, o: [make.matches(c, f"(?:{v[0]})[\\s\\S]*", **o)]),
    "str_contains": (["pattern"], lambda c, v, o: [make.matches(c, searching(v[0]), **o)]),
    "str_startswith": (["string"], _called("starts_with")),
    "str_endswith": (["string"], _called("ends_with")),
    "str_length": (["min_value", "max_value", "exact_value"], _length),
    "unique_values_eq": (["values"], _same_values),
}
