"""The point-in-time join: for each entity at its time the features that were known then, exactly one row each.

DuckDB's ASOF join finds the latest row at or before a time on one clock. With two clocks the rows of a key are first thinned
to those that, at the moment they became known, were the newest fact; the latest of these by known time is the answer.
Tests: tests/unit/data/features/test_joining.py, tests/property/test_features.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb

from everloop.core.durations import parse_duration
from everloop.core.errors import EverloopError, InvalidInputError
from everloop.data.engine import connect, quote
from everloop.data.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from everloop.data.features.records import FeatureView

_ROW = "everloop_row"


class FeatureViewError(InvalidInputError):
    """A feature view does not fit its source or the entities."""

    code = "data.feature-view"


class LostRowError(EverloopError):
    """A join gave more or fewer rows than there are entities; a fault of Everloop."""

    code = "data.lost-row"
    status = 500


def join_features(entities: Table, views: Sequence[tuple[FeatureView, Table]], *, time: str) -> Table:
    """Return the entities, in their order, with the features of each view as they were known at their time.

    Args:
        entities: n rows with the keys of every view and the time.
        views: each with the rows of its source.
        time: the column of the entities that says as of when.

    Returns:
        n rows: the columns of the entities, then the features; null where nothing was known, or it had outlived its ttl.

    Raises:
        FeatureViewError: a column is missing, an expression is wrong, a time is no time.
    """
    _refuse_missing("the entities", entities, [time])
    tables = {f"source_{number}": rows for number, (_, rows) in enumerate(views)}
    with connect(entities=entities, **tables) as connection:
        connection.execute(f"CREATE TEMP VIEW e AS SELECT *, row_number() OVER () AS {_ROW} FROM entities")
        names = list(entities.column_names)
        selected, joins = [f"e.{quote(name)}" for name in names], []
        for number, (view, rows) in enumerate(views):
            _refuse_missing(
                f"the source of {view.name}",
                rows,
                [*view.keys, view.event_time, *[view.known_time] * bool(view.known_time)],
            )
            _refuse_missing("the entities", entities, view.keys)
            _make_usable(connection, view, number)
            joins.append(_join(view, number, time))
            for feature in view.features:
                shown = feature if feature not in names else f"{view.name}__{feature}"
                names.append(shown)
                selected.append(f"{_alive(view, number, time, feature)} AS {quote(shown)}")
        query = f"SELECT {', '.join(selected)} FROM e {' '.join(joins)} ORDER BY {_ROW}"
        found = Table(arrow=_run(connection, query))
    if found.num_rows != entities.num_rows:
        raise LostRowError(
            f"{entities.num_rows:,} entities gave {found.num_rows:,} rows. Please report this."
        )
    return found


def _refuse_missing(what: str, table: Table, columns: Sequence[str]) -> None:
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        raise FeatureViewError(
            f"{what} has no column {', '.join(missing)}; there are: {', '.join(table.column_names)}.",
            details={"missing": missing},
        )


def _make_usable(connection: duckdb.DuckDBPyConnection, view: FeatureView, number: int) -> None:
    """Make the view of rows that count, each with the time from which it can be used."""
    keys = ", ".join(map(quote, view.keys))
    features = ", ".join(f"({text}) AS {quote(name)}" for name, text in view.features.items())
    event = quote(view.event_time)
    source = f"source_{number}"
    if not view.known_time:
        body = f"SELECT {keys}, {event} AS usable_at, {event} AS happened_at, {features} FROM {source}"
        body += f" WHERE {event} IS NOT NULL"
    else:
        known = quote(view.known_time)
        # A fact that was known to be older than one known before never comes to be the newest.
        newest = (
            f"max(happened_at) OVER (PARTITION BY {keys} ORDER BY usable_at, happened_at "
            "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
        )
        inner = (
            f"SELECT {keys}, greatest({known}, {event}) AS usable_at, {event} AS happened_at, {features} FROM {source}"
            f" WHERE {event} IS NOT NULL AND {known} IS NOT NULL"
        )
        # Of facts that became known together the newest counts.
        following = f"lead(usable_at) OVER (PARTITION BY {keys} ORDER BY usable_at, happened_at)"
        body = (
            f"SELECT * FROM ({inner}) QUALIFY happened_at >= coalesce({newest}, happened_at) "
            f"AND {following} IS DISTINCT FROM usable_at"
        )
    _run(connection, f"CREATE TEMP VIEW v{number} AS {body}", view.name)


def _join(view: FeatureView, number: int, time: str) -> str:
    """Return the ASOF join, which finds one row at most, whatever rows share a key and a time."""
    matched = " AND ".join(f"e.{quote(key)} = v{number}.{quote(key)}" for key in view.keys)
    return f"ASOF LEFT JOIN v{number} ON {matched} AND e.{quote(time)} >= v{number}.usable_at"


def _alive(view: FeatureView, number: int, time: str, feature: str) -> str:
    column = f"v{number}.{quote(feature)}"
    if not view.ttl:
        return column
    seconds = parse_duration(view.ttl).total_seconds()
    age = f"epoch_us(e.{quote(time)}::TIMESTAMP) - epoch_us(v{number}.happened_at::TIMESTAMP)"
    return f"CASE WHEN {age} <= {int(seconds * 1e6)} THEN {column} END"


def _run(connection: duckdb.DuckDBPyConnection, query: str, view: str = "") -> pa.Table | None:
    try:
        found = connection.sql(query)
        rows: pa.Table | None = None if found is None else found.to_arrow_table()
    except duckdb.Error as error:
        where = f"feature view {view}" if view else "the join of features"
        raise FeatureViewError(
            f"{where} cannot be computed: {error} Check its expressions and the types of its times and keys."
        ) from error
    return rows
