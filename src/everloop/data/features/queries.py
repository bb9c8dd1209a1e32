"""Reading and writing saved views and online rows. Tests: tests/unit/data/features/test_featuring.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from everloop.core.clock import from_microseconds
from everloop.data.features.errors import (
    MaterializationSupersededError,
    NotMaterializedError,
    ViewNotFoundError,
)
from everloop.data.features.records import FeatureView, Materialized, ParityCheck, SavedView
from everloop.data.features.tables import feature_online, feature_parity, feature_row, feature_view

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

# One statement gives the state and the rows, so that both are of one snapshot on every database.
_LOOK_UP = """
SELECT o.version, o.source, o.horizon, o.form, r.key, r.rows
FROM feature_online AS o
LEFT JOIN feature_row AS r
  ON r.name = o.name AND r.version = o.version AND r.since <= o.current AND r.key {matches}
WHERE o.name = :name AND o.current > 0 AND o.version = {version}
"""
_LATEST = "(SELECT max(version) FROM feature_online WHERE name = :name AND current > 0)"
_MATCHES = {
    "one": "= :keys",
    "sqlite": "IN (SELECT value FROM json_each(:keys))",
    "postgresql": "IN (SELECT json_array_elements_text(CAST(:keys AS json)))",
}
# Made once: building a statement costs more than running it.
_STATEMENTS = {
    (matches, version): sa.text(_LOOK_UP.format(matches=_MATCHES[matches], version=version))
    for matches in _MATCHES
    for version in (":version", _LATEST)
}


def look_up(
    connection: sa.Connection, name: str, version: int, keys: Sequence[str]
) -> tuple[sa.Row[Any], dict[str, bytes]]:
    """Return the state of a view's online rows, and the rows of those keys that have any.

    Args:
        connection: a snapshot.
        name: of the view.
        version: of the view, 0 for the newest that is materialised.
        keys: texts of keys.

    Raises:
        NotMaterializedError: there are none.
    """
    matches = "one" if len(keys) == 1 else connection.dialect.name
    statement = _STATEMENTS[matches, ":version" if version else _LATEST]
    given: dict[str, object] = {
        "name": name,
        "keys": keys[0] if len(keys) == 1 else msgspec.json.encode(keys).decode(),
    }
    if version:
        given["version"] = version
    found = connection.execute(statement, given).fetchall()
    if not found:
        shown = f"{name}@v{version}" if version else name
        raise NotMaterializedError(
            f"feature view {shown} has no online rows. `everloop features materialize {shown}` makes them.",
            subject=f"feature-view:{shown}",
        )
    return found[0], {row.key: row.rows for row in found if row.key is not None}


def find_view(connection: sa.Connection, name: str, version: int) -> SavedView:
    """Return a version of a view, the latest for 0.

    Raises:
        ViewNotFoundError: as named.
    """
    table = feature_view
    query = sa.select(table).where(table.c.name == name).order_by(table.c.version.desc()).limit(1)
    row = connection.execute(query.where(table.c.version == version) if version else query).first()
    if row is None:
        shown = f"{name}@v{version}" if version else name
        raise ViewNotFoundError(
            f"there is no feature view {shown}. `everloop features list` lists those there are.",
            subject=f"feature-view:{shown}",
        )
    return _view_of(row)


def list_views(connection: sa.Connection, *, after: str, limit: int) -> list[SavedView]:
    """Return the latest version of each view, by name."""
    table = feature_view
    latest = (
        sa.select(table.c.name, sa.func.max(table.c.version).label("version"))
        .group_by(table.c.name)
        .subquery()
    )
    query = (
        sa.select(table)
        .join(latest, sa.and_(table.c.name == latest.c.name, table.c.version == latest.c.version))
        .where(table.c.name > after)
        .order_by(table.c.name)
        .limit(limit)
    )
    return [_view_of(row) for row in connection.execute(query)]


def list_versions(connection: sa.Connection, name: str) -> list[SavedView]:
    """Return the versions of a view, newest first."""
    table = feature_view
    query = sa.select(table).where(table.c.name == name).order_by(table.c.version.desc())
    return [_view_of(row) for row in connection.execute(query)]


def insert_view(connection: sa.Connection, view: SavedView) -> None:
    """Write a version of a view."""
    values = msgspec.structs.asdict(view)
    del values["is_unchanged"]
    values["definition"] = msgspec.json.encode(view.definition).decode()
    connection.execute(feature_view.insert().values(values))


def find_online(connection: sa.Connection, name: str, version: int) -> sa.Row[Any] | None:
    """Return the state of a view's online rows, None when it was never begun."""
    return connection.execute(sa.select(feature_online).where(*_is_of(feature_online, name, version))).first()


def materialized_of(row: sa.Row[Any], *, changed: int = 0) -> Materialized:
    """Return the record of a state."""
    return Materialized(
        view=f"{row.name}@v{row.version}",
        source=row.source,
        horizon=row.horizon,
        keys=row.keys,
        changed=changed,
    )


def begin(connection: sa.Connection, name: str, version: int, now: datetime) -> tuple[int, sa.Row[Any]]:
    """Return the number of a new materialisation, which from here on is the only one, and the state it begins from.

    What materialisations that never finished have written is removed.
    """
    _make_state(connection, name, version, now)
    state = _is_of(feature_online, name, version)
    moved = {"attempt": feature_online.c.attempt + 1, "touched_at": now}
    connection.execute(sa.update(feature_online).where(*state).values(moved))
    row = connection.execute(sa.select(feature_online).where(*state)).one()
    rows = feature_row
    connection.execute(sa.delete(rows).where(*_is_of(rows, name, version), rows.c.since > row.current))
    return int(row.attempt), row


def set_followed(
    connection: sa.Connection, name: str, version: int, now: datetime, *, is_followed: bool
) -> bool:
    """Note whether a view is to follow its source; return whether that is new."""
    _make_state(connection, name, version, now)
    other = [*_is_of(feature_online, name, version), feature_online.c.is_followed != is_followed]
    return bool(
        connection.execute(sa.update(feature_online).where(*other).values(is_followed=is_followed)).rowcount
    )


def followed(connection: sa.Connection) -> Sequence[sa.Row[Any]]:
    """Return the states of views that follow their sources."""
    query = sa.select(feature_online).where(feature_online.c.is_followed)
    return connection.execute(query.order_by(feature_online.c.name, feature_online.c.version)).fetchall()


def _make_state(connection: sa.Connection, name: str, version: int, now: datetime) -> None:
    """Make the state's row where there is none, and hold it."""
    state = _is_of(feature_online, name, version)
    if (
        connection.execute(sa.select(feature_online.c.attempt).where(*state).with_for_update()).first()
        is None
    ):
        first = {
            "attempt": 0,
            "current": 0,
            "source": "",
            "horizon": from_microseconds(0),
            "form": b"",
            "keys": 0,
        }
        values = {**first, "name": name, "version": version, "is_followed": False, "touched_at": now}
        connection.execute(feature_online.insert().values(values))


def write_rows(
    connection: sa.Connection, name: str, version: int, since: int, rows: Sequence[tuple[str, bytes]]
) -> None:
    """Write rows of a materialisation; nobody sees them before it is finished."""
    _hold(connection, name, version, since)
    values = [
        {"name": name, "version": version, "since": since, "key": key, "rows": held} for key, held in rows
    ]
    if values:
        connection.execute(feature_row.insert(), values)


def finish(
    connection: sa.Connection,
    name: str,
    version: int,
    since: int,
    *,
    replaced: Sequence[str] | None,
    **values: object,
) -> sa.Row[Any]:
    """Let readers see a materialisation, and remove what it replaced; return the new state.

    Args:
        connection: the transaction.
        name: of the view.
        version: of the view.
        since: the materialisation.
        replaced: the keys whose rows from before go; None for all.
        **values: further fields of the state.
    """
    _hold(connection, name, version, since)
    rows, of_view = feature_row, _is_of(feature_row, name, version)
    older = sa.delete(rows).where(*of_view, rows.c.since < since)
    if replaced is None:
        connection.execute(older)
    elif replaced:
        # One by one: a database without fresh statistics would join the two sets of keys row by row.
        each = older.where(rows.c.key == sa.bindparam("replaced"))
        connection.execute(each, [{"replaced": key} for key in replaced])
    keys = connection.execute(sa.select(sa.func.count()).select_from(rows).where(*of_view)).scalar_one()
    state = _is_of(feature_online, name, version)
    connection.execute(sa.update(feature_online).where(*state).values(current=since, keys=keys, **values))
    return connection.execute(sa.select(feature_online).where(*state)).one()


def some_keys(connection: sa.Connection, name: str, version: int, *, after: str, count: int) -> list[str]:
    """Return texts of keys that have rows, after one."""
    rows = feature_row
    query = sa.select(rows.c.key).where(*_is_of(rows, name, version), rows.c.key > after)
    return list(connection.execute(query.order_by(rows.c.key).limit(count)).scalars())


def insert_check(connection: sa.Connection, name: str, version: int, check: ParityCheck) -> None:
    """Write a parity check."""
    connection.execute(feature_parity.insert().values(id=check.id, name=name, version=version, result=check))


def list_checks(connection: sa.Connection, name: str, version: int, *, limit: int) -> list[ParityCheck]:
    """Return the parity checks of a version of a view, newest first."""
    table = feature_parity
    query = (
        sa.select(table.c.result)
        .where(*_is_of(table, name, version))
        .order_by(table.c.id.desc())
        .limit(limit)
    )
    return list(connection.execute(query).scalars())


def _hold(connection: sa.Connection, name: str, version: int, since: int) -> None:
    """Hold the state's row, and refuse a materialisation that is no longer the only one."""
    mine = [*_is_of(feature_online, name, version), feature_online.c.attempt == since]
    if not connection.execute(sa.update(feature_online).where(*mine).values(attempt=since)).rowcount:
        raise MaterializationSupersededError(
            f"another process began to materialise {name}@v{version} after this one, which stopped and changed nothing. "
            "Wait for the other, or call it again.",
            subject=f"feature-view:{name}@v{version}",
        )


def _is_of(table: Any, name: str, version: int) -> list[sa.ColumnElement[bool]]:  # noqa: ANN401 - a table or an alias
    return [table.c.name == name, table.c.version == version]


def _view_of(row: sa.Row[Any]) -> SavedView:
    definition = msgspec.json.decode(row.definition, type=FeatureView)
    return SavedView(
        name=row.name,
        version=row.version,
        definition=definition,
        created_at=row.created_at,
        created_by=row.created_by,
    )
