"""Great Expectations suites: JSON of 0.18 (`expectation_type`) and of 1.x (`type`, `severity`).

Both ignore missing values as we do, and `mostly` is our `share`. A regular expression matches anywhere in a text there.
Tests: tests/unit/data/suite_formats/test_great_expectations.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from everloop.data import checks as make
from everloop.data.check_kinds import InvalidCheckError
from everloop.data.engine import literal, quote
from everloop.data.suite_formats.notes import comparing, holding_all, searching, type_of, within

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from everloop.data.records import Check
    from everloop.data.suite_formats.notes import Notes

    Given: TypeAlias = dict[str, Any]
    Maker: TypeAlias = Callable[[Given, Given], list[Check]]

# Fields that say nothing about what is asked.
_IGNORED = {
    "result_format",
    "catch_exceptions",
    "meta",
    "batch_id",
    "windows",
    "notes",
    "ignore_row_if",
    "severity",
}
_IN_PART = {
    "expect_table_columns_to_match_ordered_list": "columns have no order here",
    "expect_compound_columns_to_be_unique": "a row with a missing value passes here",
    "expect_multicolumn_sum_to_equal": "a row with a missing value passes here",
}
_SEVERITIES = {"critical": "fail", "warning": "warn", "info": "warn"}


def translate_expectations(suite: Given, notes: Notes) -> str:
    """Translate a suite; return its name."""
    for one in suite["expectations"]:
        kind = str(one.get("type") or one.get("expectation_type") or one.get("expectation") or "")
        given = {key: value for key, value in (one.get("kwargs") or {}).items() if value is not None}
        where = str(given.get("column") or ", ".join(map(str, given.get("column_list", []))))
        reason = _refusal(kind, given)
        if reason:
            notes.leave(where, kind, reason)
            continue
        severity = _SEVERITIES.get(str(one.get("severity") or "critical"), "fail")
        _translate(where, kind, given, severity, notes)
        if kind in _IN_PART:
            notes.leave(where, kind, f"in part: {_IN_PART[kind]}")
    return str(suite.get("name") or suite.get("expectation_suite_name") or "")


def _translate(where: str, kind: str, given: Given, severity: str, notes: Notes) -> None:
    options: Given = {"severity": severity}
    if "mostly" in given:
        options["share"] = float(given["mostly"])
    notes.add(where, kind, lambda: _MAKERS[kind](given, options))


def _refusal(kind: str, given: Given) -> str:
    if kind not in _MAKERS:
        return "there is no such check here"
    if "row_condition" in given:
        return "it looks at some rows only; write an expression check"
    if any(isinstance(value, dict) and "$PARAMETER" in value for value in given.values()):
        return "it has a parameter that is filled in when it runs"
    if given.get("mostly") == 0:
        return "mostly 0 demands nothing"
    unknown = sorted(set(given) - _IGNORED - _KNOWN)
    return f"its option {', '.join(unknown)} is not known here" if unknown else ""


_KNOWN = {
    "column", "mostly", "min_value", "max_value", "strict_min", "strict_max", "value_set", "regex", "column_list", "column_set",
    "exact_match", "type_", "type_list", "value", "quantile_ranges", "allow_relative_error", "column_A", "column_B", "or_equal",
    "sum_total", "column_index", "parse_strings_as_datetimes",
}  # fmt: skip


def _bounds(given: Given) -> tuple[Any, Any]:
    return given.get("min_value"), given.get("max_value")


def _open(given: Given) -> dict[str, bool]:
    return {"open_low": bool(given.get("strict_min")), "open_high": bool(given.get("strict_max"))}


def _between(given: Given, options: Given) -> list[Check]:
    low, high = _bounds(given)
    if any(_open(given).values()):
        return [make.expression(comparing(given["column"], low, high, **_open(given)), **options)]
    return [make.between(given["column"], low, high, **options)]


def _figure(sql: str) -> Maker:
    def build(given: Given, options: Given) -> list[Check]:
        figure = sql.format(column=quote(given["column"]))
        return [make.sql(within(figure, *_bounds(given), **_open(given)), **options)]

    return build


def _measure(check: Callable[..., Check], *before: Any) -> Maker:  # noqa: ANN401
    def build(given: Given, options: Given) -> list[Check]:
        if any(_open(given).values()):
            raise InvalidCheckError("bounds of figures are closed here")
        return [check(given["column"], *before, *_bounds(given), **options)]

    return build


def _quantiles(given: Given, options: Given) -> list[Check]:
    ranges = given["quantile_ranges"]
    pairs = zip(ranges["quantiles"], ranges["value_ranges"], strict=True)
    return [make.quantile(given["column"], level, *bounds, **options) for level, bounds in pairs]


def _type(given: Given, options: Given) -> list[Check]:
    names = given.get("type_list") or [given.get("type_")]
    found = {type_of(name) for name in names} - {""}
    if not found:
        raise InvalidCheckError(f"the type {', '.join(map(str, names))} is not known here")
    if len(found) > 1:
        whole = all(name == "integer" or name.lstrip("u").startswith("int") for name in found)
        is_number = all(name in ("integer", "number", "double", "float") or "int" in name for name in found)
        if not is_number:
            raise InvalidCheckError("a column has one type here")
        found = {"integer" if whole else "number"}
    return [make.of_type(given["column"], found.pop(), severity=options["severity"])]


def _lengths(given: Given, options: Given) -> list[Check]:
    low, high = (None if bound is None else int(bound) for bound in _bounds(given))
    low = low + 1 if given.get("strict_min") and low is not None else low
    high = high - 1 if given.get("strict_max") and high is not None else high
    return [make.length(given["column"], low, high, **options)]


def _one_length(given: Given, options: Given) -> list[Check]:
    return [make.length(given["column"], int(given["value"]), int(given["value"]), **options)]


def _pair(given: Given, options: Given) -> list[Check]:
    sign = ">=" if given.get("or_equal") else ">"
    return [make.expression(_of_pair(given, sign), **options)]


def _equal_pair(given: Given, options: Given) -> list[Check]:
    return [make.expression(_of_pair(given, "="), **options)]


def _of_pair(given: Given, sign: str) -> str:
    """Return the condition on two columns; unless told otherwise a row fails there when one of the two is missing."""
    one, other = quote(given["column_A"]), quote(given["column_B"])
    compared = f"{one} {sign} {other}"
    when = given.get("ignore_row_if", "both_values_are_missing")
    if when == "either_value_is_missing":
        return compared
    if when == "never":
        return f"coalesce({compared}, FALSE)"
    return f"CASE WHEN {one} IS NULL AND {other} IS NULL THEN NULL ELSE coalesce({compared}, FALSE) END"


def _distinct_equal(given: Given, options: Given) -> list[Check]:
    column, values = given["column"], given["value_set"]
    return [make.in_set(column, values, **options), make.sql(holding_all(column, values), **options)]


def _columns(given: Given, options: Given) -> list[Check]:
    return [make.has_columns(*given["column_set"], only=given.get("exact_match", True), **options)]


def _is_null(given: Given, options: Given) -> list[Check]:
    return [make.expression(f"{quote(given['column'])} IS NULL", **options)]


def _not_matching(given: Given, options: Given) -> list[Check]:
    condition = f"NOT regexp_matches({quote(given['column'])}, {literal(given['regex'])})"
    return [make.expression(condition, **options)]


def _sum(given: Given, options: Given) -> list[Check]:
    total = " + ".join(map(quote, given["column_list"]))
    return [make.expression(f"{total} = {literal(given['sum_total'])}", **options)]


def _rows(given: Given, options: Given) -> list[Check]:
    low, high = _bounds(given)
    return [make.row_count(min=low, max=high, **options)]


_UNIQUE_SHARE = "count(DISTINCT {column}) / nullif(count({column}), 0)"
_MAKERS: dict[str, Maker] = {
    "expect_column_to_exist": lambda g, o: [make.has_columns(g["column"], **o)],
    "expect_table_columns_to_match_set": _columns,
    "expect_table_columns_to_match_ordered_list": lambda g, o: [
        make.has_columns(*g["column_list"], only=True, **o)
    ],
    "expect_table_row_count_to_be_between": _rows,
    "expect_table_row_count_to_equal": lambda g, o: [make.row_count(min=g["value"], max=g["value"], **o)],
    "expect_column_values_to_not_be_null": lambda g, o: [make.not_null(g["column"], **o)],
    "expect_column_values_to_be_null": _is_null,
    "expect_column_values_to_be_between": _between,
    "expect_column_values_to_be_in_set": lambda g, o: [make.in_set(g["column"], g["value_set"], **o)],
    "expect_column_values_to_not_be_in_set": lambda g, o: [make.not_in_set(g["column"], g["value_set"], **o)],
    "expect_column_values_to_match_regex": lambda g, o: [
        make.matches(g["column"], searching(g["regex"]), **o)
    ],
    "expect_column_values_to_not_match_regex": _not_matching,
    "expect_column_values_to_be_unique": lambda g, o: [make.unique(g["column"], **o)],
    "expect_compound_columns_to_be_unique": lambda g, o: [make.unique(*g["column_list"], **o)],
    "expect_column_value_lengths_to_be_between": _lengths,
    "expect_column_value_lengths_to_equal": _one_length,
    "expect_column_values_to_be_of_type": _type,
    "expect_column_values_to_be_in_type_list": _type,
    "expect_column_mean_to_be_between": _measure(make.mean),
    "expect_column_median_to_be_between": _measure(make.quantile, 0.5),
    "expect_column_stdev_to_be_between": _measure(make.std),
    "expect_column_quantile_values_to_be_between": _quantiles,
    "expect_column_min_to_be_between": _figure("min({column})"),
    "expect_column_max_to_be_between": _figure("max({column})"),
    "expect_column_sum_to_be_between": _figure("sum({column})"),
    "expect_column_proportion_of_unique_values_to_be_between": _figure(_UNIQUE_SHARE),
    "expect_column_unique_value_count_to_be_between": lambda g, o: [
        make.distinct(g["column"], min=g.get("min_value"), max=g.get("max_value"), **o)
    ],
    "expect_column_distinct_values_to_be_in_set": lambda g, o: [
        make.in_set(g["column"], g["value_set"], **o)
    ],
    "expect_column_distinct_values_to_contain_set": lambda g, o: [
        make.sql(holding_all(g["column"], g["value_set"]), **o)
    ],
    "expect_column_distinct_values_to_equal_set": _distinct_equal,
    "expect_column_pair_values_a_to_be_greater_than_b": _pair,
    "expect_column_pair_values_to_be_equal": _equal_pair,
    "expect_multicolumn_sum_to_equal": _sum,
}
