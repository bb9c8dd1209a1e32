"""What a view says, in DuckDB's SQL; each expression looks at one row and at nothing else.

The join computes the features of the rows it has chosen and of no others, and the online rows are computed long before they
are asked for. So an expression must give the same for a row whatever stands beside it and whenever it is computed.
Tests: tests/unit/data/features/test_expressions.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from everloop.core.durations import parse_duration
from everloop.data.engine import quote
from everloop.data.features.errors import FeatureViewError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import duckdb

    from everloop.data.features.records import FeatureView
    from everloop.data.records import Column

_OTHER_ROWS = {"WINDOW": "a window", "SUBQUERY": "a subquery", "STAR": "a star"}
# SQL writes these like columns.
_NOW = {"current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"}


def refuse_unusable(connection: duckdb.DuckDBPyConnection, view: FeatureView) -> None:
    """Refuse a view whose expressions look beyond one row, or change with time or chance.

    Raises:
        FeatureViewError: as named, or an expression is no SQL.
    """
    for what, text in {**view.features, "its condition": view.where}.items():
        if text:
            for node in _nodes(_parsed(connection, view, text)):
                reason = _fault(connection, node)
                if reason:
                    raise FeatureViewError(
                        f"feature view {view.name}: {what} ({text}) uses {reason}. A feature is computed from the columns of one row, "
                        "so that it is the same in training and in serving; compute the rest where the dataset is made.",
                        subject=view.name,
                    )


def refuse_missing(what: str, columns: Sequence[Column], names: Sequence[str]) -> None:
    """Refuse a table without some columns.

    Raises:
        FeatureViewError: as named.
    """
    there = [column.name for column in columns]
    missing = [name for name in names if name not in there]
    if missing:
        raise FeatureViewError(
            f"{what} has no column {', '.join(missing)}; there are: {', '.join(there)}.",
            details={"missing": missing},
        )


def columns_needed(view: FeatureView) -> list[str]:
    """Return the columns that the source must have."""
    return [*view.keys, *times_of(view)]


def times_of(view: FeatureView) -> list[str]:
    """Return the columns of the view's clocks: one or two."""
    return [view.event_time, *[view.known_time] * bool(view.known_time)]


def rows_that_count(view: FeatureView, source: str) -> str:
    """Return the relation of the rows that count."""
    conditions = [f"{quote(name)} IS NOT NULL" for name in times_of(view)] + [f"({view.where})"] * bool(
        view.where
    )
    return f"(SELECT * FROM {quote(source)} WHERE {' AND '.join(conditions)})"


def columns_read(view: FeatureView, columns: Sequence[str]) -> list[str]:
    """Return the columns that the features may read: those whose names are in an expression, and one at least."""
    text = " ".join(view.features.values()).lower().replace('""', '"')
    return [name for name in columns if name.lower() in text] or [view.event_time]


def microseconds(columns: Sequence[Column], name: str, of: str = "") -> str:
    """Return a time as whole microseconds since 1970.

    Raises:
        FeatureViewError: the column holds no times.
    """
    kinds: Mapping[str, str] = {column.name: column.type for column in columns}
    if not kinds[name].startswith(("timestamp", "date", "string")):
        raise FeatureViewError(f"the column {name} is of type {kinds[name]}, which is no time.")
    shown = f"{of}.{quote(name)}" if of else quote(name)
    # A time with a zone is counted in UTC already; a cast would ask the calendar for every row.
    return f"epoch_us({shown})" if kinds[name].startswith("timestamp") else f"epoch_us({shown}::TIMESTAMP)"


def shown_features(view: FeatureView) -> str:
    """Return the list of features for a SELECT."""
    return ", ".join(f"({text}) AS {quote(name)}" for name, text in view.features.items())


def longest_age(view: FeatureView) -> int:
    """Return the ttl of a view in microseconds, 0 for none: the one rule of training and of serving."""
    return int(parse_duration(view.ttl).total_seconds() * 1_000_000) if view.ttl else 0


def failed(error: duckdb.Error, view: FeatureView) -> FeatureViewError:
    """Return the error of a query of a view."""
    return FeatureViewError(
        f"feature view {view.name} cannot be computed: {error} Check its expressions and the types of its times and keys.",
        subject=view.name,
    )


def _parsed(connection: duckdb.DuckDBPyConnection, view: FeatureView, text: str) -> object:
    found = connection.execute("SELECT json_serialize_sql(?)", [f"SELECT ({text}) FROM this"]).fetchall()
    tree = msgspec.json.decode(found[0][0])
    nodes = [] if tree["error"] else [statement["node"] for statement in tree["statements"]]
    if len(nodes) != 1 or not _is_plain(nodes[0]):
        raise FeatureViewError(
            f"feature view {view.name}: {text!r} is no expression in SQL. {tree.get('error_message', '')}".rstrip(),
            subject=view.name,
        )
    return nodes[0]["select_list"]


def _is_plain(node: dict[str, Any]) -> bool:
    """Return whether a query selects one expression from `this` and nothing more."""
    return (
        node["type"] == "SELECT_NODE"
        and len(node["select_list"]) == 1
        and node["from_table"].get("table_name") == "this"
        and not node["modifiers"]
        and not any(node.get(clause) for clause in ("where_clause", "having", "qualify", "group_expressions"))
    )


def _nodes(tree: object) -> Iterator[dict[str, Any]]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node


def _fault(connection: duckdb.DuckDBPyConnection, node: dict[str, Any]) -> str:
    kind, name = node.get("class"), str(node.get("function_name", "")).lower()
    if kind in _OTHER_ROWS:
        return _OTHER_ROWS[kind]
    if kind == "COLUMN_REF" and node["column_names"][-1].lower() in _NOW:
        return "the present time"
    if kind != "FUNCTION":
        return ""
    query = "SELECT DISTINCT function_type, stability FROM duckdb_functions() WHERE function_name = ?"
    found = connection.execute(query, [name]).fetchall()
    if any(one[0] == "aggregate" for one in found):
        return f"the aggregate {name}"
    if found and all(one[1] is not None and one[1] != "CONSISTENT" for one in found):
        return f"{name}, which is not the same each time"
    return ""
