"""Checks as SQL: what each asks of one scan, and the condition that is true of a row that fails.

Conditions and queries that a user wrote are parsed apart from everything else, so that none reaches beyond its place.
Tests: tests/unit/data/test_checks.py, tests/unit/data/test_suites.py.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import duckdb

from everloop.data.check_kinds import KINDS, InvalidCheckError
from everloop.data.engine import literal, quote

if TYPE_CHECKING:
    from everloop.data.records import Check
    from everloop.data.table import Table

_FLOATS = ("float", "double", "halffloat")


class Scene(NamedTuple):
    """What checks are compiled against.

    Attributes:
        floats: columns that can hold what is no number.
        has_before: whether rows that were there already are in the view `present`.
        is_large: whether different values are counted in scans of their own, which may use the disk.
        views: the view of each other table, by its name in a check.
    """

    floats: frozenset[str]
    has_before: bool = False
    is_large: bool = False
    views: dict[str, str] = {}  # noqa: RUF012 - never changed


class Question(NamedTuple):
    """What a check asks: aggregates over the view `incoming`, and a query of its own whose value comes before theirs."""

    aggregates: list[str]
    apart: str = ""


def floats_of(rows: Table) -> frozenset[str]:
    """Return the columns of floats."""
    return frozenset(column.name for column in rows.columns if column.type in _FLOATS)


def parse_sql(check: Check) -> str:
    """Return the condition or the query of a check as DuckDB reads it.

    Raises:
        InvalidCheckError: it is none, or more than one.
    """
    try:
        if check.kind == "expression":
            return str(duckdb.SQLExpression(check.sql))
        statements = duckdb.extract_statements(check.sql)
    except duckdb.Error as error:
        raise InvalidCheckError(f"{check.title} does not parse: {error}") from error
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise InvalidCheckError(
            f"{check.title} is not one SELECT. Write a query that counts what is wrong: SELECT count(*) FROM rows WHERE ..."
        )
    return check.sql.strip().rstrip(";")


def parse_pattern(check: Check) -> None:
    """Refuse a pattern that DuckDB does not read.

    Raises:
        InvalidCheckError: RE2 has no lookahead and no backreferences.
    """
    wrong = _pattern_error(check.pattern)
    if wrong:
        raise InvalidCheckError(f"{check.title}: {check.pattern!r} is no regular expression of RE2: {wrong}")


@lru_cache(maxsize=4096)
def _pattern_error(pattern: str) -> str:
    """Return what DuckDB says against a pattern; opening it costs 20 ms, so each pattern is asked once."""
    with duckdb.connect(":memory:") as connection:
        try:
            connection.execute("SELECT regexp_full_match('', ?)", [pattern])
        except duckdb.Error as error:
            return str(error)
    return ""


def question(check: Check, scene: Scene) -> Question:
    """Return what a check asks.

    Of a check on rows the values are the rows that fail, and with a `share` the rows it looks at; of others the figure.
    """
    if check.kind == "unique":
        return _repeats(check, scene)
    if KINDS[check.kind].is_of_rows:
        counted = f"coalesce(sum(CASE WHEN {fault(check, scene)} THEN 1 ELSE 0 END), 0)"
        return Question([counted, *_looked_at(check)])
    if check.kind == "distinct" and scene.is_large and not check.is_approximate:
        column = quote(check.column)
        return Question(
            [], f"SELECT count(*) FROM (SELECT DISTINCT {column} FROM incoming WHERE {column} IS NOT NULL)"
        )
    figure = _figure(check, scene)
    return Question([figure] if figure else [])


def fault(check: Check, scene: Scene) -> str:
    """Return the condition that is true of a row that fails the check."""
    column = quote(check.column)
    is_float = check.column in scene.floats
    match check.kind:
        case "not_null":
            return f"({column} IS NULL OR isnan({column}))" if is_float else f"{column} IS NULL"
        case "expression":
            return f"NOT coalesce(({parse_sql(check)}), TRUE)"
        case "unique":
            return _is_repeat(check, scene)
        case "in_set" | "not_in_set":
            values = ", ".join(literal(value) for value in check.values)
            wrong = f"{column} {'NOT IN' if check.kind == 'in_set' else 'IN'} ({values})"
        case "matches":
            wrong = f"NOT regexp_full_match({column}::VARCHAR, {literal(check.pattern)})"
        case "references":
            key, view = quote(check.key), quote(scene.views[check.table])
            wrong = f"{column} NOT IN (SELECT {key} FROM {view} WHERE {key} IS NOT NULL)"
        case _:
            measured = f"length({column})" if check.kind == "length" else column
            bounds = [f"{measured} >= {literal(check.low)}"] * (check.low is not None)
            bounds += [f"{measured} <= {literal(check.high)}"] * (check.high is not None)
            # DuckDB orders NaN above every number, so an open upper side needs the further condition.
            bounds += [f"NOT isnan({column})"] * (is_float and check.kind == "between")
            wrong = f"NOT ({' AND '.join(bounds)})"
    return f"({column} IS NOT NULL AND {wrong})"


def columns_of(check: Check) -> list[str]:
    """Return the columns of the table that a check names as such."""
    if check.kind == "has_columns":
        return []
    return [check.column] if check.column else check.columns


def _looked_at(check: Check) -> list[str]:
    if check.share == 1:
        return []
    if check.kind == "not_null":
        return ["count(*)"]
    if check.kind == "expression":
        return [f"count(({parse_sql(check)}))"]
    return [f"count(*) FILTER ({_is_whole(check)})"]


def _is_whole(check: Check) -> str:
    return " AND ".join(f"{quote(name)} IS NOT NULL" for name in columns_of(check))


def _tuple(check: Check) -> str:
    names = ", ".join(map(quote, columns_of(check)))
    return f"({names})" if check.columns else names


def _repeats(check: Check, scene: Scene) -> Question:
    whole, value = _is_whole(check), _tuple(check)
    if check.is_approximate:
        return Question(
            [
                f"count(*) FILTER ({whole})",
                f"approx_count_distinct({value}) FILTER ({whole})",
            ]
        )
    if scene.is_large:
        return Question(_looked_at(check), _grouped(check, scene))
    fresh = whole
    if scene.has_before:
        fresh += f" AND {value} NOT IN (SELECT {value} FROM present WHERE {whole})"
    return Question(
        [
            f"count(*) FILTER ({whole}) - count(DISTINCT {value}) FILTER ({fresh})",
            *_looked_at(check),
        ]
    )


def _grouped(check: Check, scene: Scene) -> str:
    """Return the query that counts repeats by grouping."""
    names, whole = ", ".join(map(quote, columns_of(check))), _is_whole(check)
    grouped = f"SELECT {names}, count(*) AS everloop_times FROM incoming WHERE {whole} GROUP BY {names}"
    if not scene.has_before:
        return f"SELECT coalesce(sum(everloop_times - 1), 0) FROM ({grouped})"
    known = f"(SELECT {names} FROM present)"
    return (
        f"SELECT (SELECT coalesce(sum(everloop_times - 1), 0) FROM ({grouped}) ANTI JOIN {known} USING ({names})) + "
        f"(SELECT coalesce(sum(everloop_times), 0) FROM ({grouped}) SEMI JOIN {known} USING ({names}))"
    )


def _is_repeat(check: Check, scene: Scene) -> str:
    names, whole, value = ", ".join(map(quote, columns_of(check))), _is_whole(check), _tuple(check)
    again = f"row_number() OVER (PARTITION BY {names} ORDER BY everloop_row) > 1"
    known = f" OR {value} IN (SELECT {value} FROM present WHERE {whole})" if scene.has_before else ""
    return f"({whole} AND ({again}{known}))"


def _figure(check: Check, scene: Scene) -> str:
    """Return the aggregate of a check on a figure, empty for one that needs none."""
    column = quote(check.column)
    is_float = check.column in scene.floats
    missing = f"{column} IS NULL OR isnan({column})" if is_float else f"{column} IS NULL"
    quantile = "approx_quantile" if scene.is_large else "quantile_cont"
    distinct = f"approx_count_distinct({column})" if check.is_approximate else f"count(DISTINCT {column})"
    figures = {
        "mean": f"avg({column}::DOUBLE)",
        "std": f"stddev_samp({column}::DOUBLE)",
        "quantile": f"{quantile}({column}::DOUBLE, {float(check.level or 0)!r})",
        "distinct": distinct,
        "null_share": f"coalesce(avg(CASE WHEN {missing} THEN 1::DOUBLE ELSE 0::DOUBLE END), 0)",
        "fresh": f"epoch(max({column})::TIMESTAMPTZ)",
    }
    is_of_numbers = is_float and check.kind in ("mean", "std", "quantile")
    return figures.get(check.kind, "") + f" FILTER (NOT isnan({column}))" * is_of_numbers
