"""SQL of serving: routing documents in the catalog, the log's parts in DuckDB. Tests: tests/unit/serving/test_service.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import msgspec
import pyarrow as pa
import sqlalchemy as sa

from everloop.core.clock import to_microseconds
from everloop.serving import tables
from everloop.serving.records import LogPart

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from everloop.serving.records import Routing

# The first logged row of an id counts: a client that repeats a request changes nothing.
_PREDICTIONS = """
SELECT * FROM read_parquet($parts, union_by_name = true)
WHERE epoch_us("time") >= $start AND epoch_us("time") < $end
QUALIFY row_number() OVER (PARTITION BY id ORDER BY logged_at) = 1
"""
_FAILURES = """
SELECT version, count(*) FROM read_parquet($parts)
WHERE epoch_us("time") >= $start AND epoch_us("time") < $end GROUP BY version ORDER BY version
"""
_LABELS = """
SELECT id, label, label_text, label_time, known_at FROM read_parquet($labels)
WHERE epoch_us(known_at) <= $known_by
QUALIFY row_number() OVER (PARTITION BY id ORDER BY known_at DESC) = 1
"""
_ORDER = ' ORDER BY "time", id'
_FOREVER = (1 << 62) - 1


def routing(connection: sa.Connection, deployment: str, *, lock: bool) -> Routing | None:
    """Return the routing in force, or None; `lock` holds the row until the transaction ends."""
    query = sa.select(tables.deployment.c.routing).where(tables.deployment.c.name == deployment)
    found: Routing | None = connection.execute(query.with_for_update() if lock else query).scalar()
    return found


def write_routing(connection: sa.Connection, new: Routing) -> None:
    """Put a routing in force and keep it in the history."""
    deployment = tables.deployment
    values = {"generation": new.generation, "routing": new}
    if new.generation == 1:
        connection.execute(deployment.insert().values(name=new.deployment, created_at=new.set_at, **values))
    else:
        connection.execute(sa.update(deployment).where(deployment.c.name == new.deployment).values(values))
    connection.execute(
        tables.deployment_routing.insert().values(
            deployment=new.deployment, generation=new.generation, routing=msgspec.structs.replace(new)
        )
    )


def last_alone(connection: sa.Connection, present: Routing) -> Routing | None:
    """Return the newest routing in which one version, not the one alone in force, had all traffic."""
    alone = present.main_version if len(present.routes) == 1 else None
    history = tables.deployment_routing
    query = sa.select(history.c.routing).where(history.c.deployment == present.deployment)
    for found in connection.execute(query.order_by(history.c.generation.desc())).scalars():
        is_other = (found.model, found.main_version) != (present.model, alone)
        if len(found.routes) == 1 and is_other:
            return found  # type: ignore[no-any-return]  # Json(Routing) decodes to it
    return None


def parts(
    connection: sa.Connection, deployment: str, kind: str, start: datetime | None, end: datetime | None
) -> list[LogPart]:
    """Return the parts of a log that touch a span of time, oldest first."""
    part = tables.log_part
    columns = [part.c[name] for name in LogPart.__struct_fields__]
    query = sa.select(*columns).where(part.c.deployment == deployment, part.c.kind == kind, part.c.rows > 0)
    if start is not None:
        query = query.where(part.c.last_at >= start)
    if end is not None:
        query = query.where(part.c.first_at <= end)
    rows = connection.execute(query.order_by(part.c.first_at, part.c.segment, part.c.start_offset))
    return [LogPart(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name


def predictions(paths: Sequence[str], start: datetime, end: datetime) -> pa.Table:
    """Return the rows of the log in a span of time; an empty table without columns when there are no parts."""
    if not paths:
        return pa.table({})
    return _run(_PREDICTIONS + _ORDER, parts=[*paths], start=to_microseconds(start), end=to_microseconds(end))


def failures(paths: Sequence[str], start: datetime, end: datetime) -> dict[int, int]:
    """Return how many rows each version could not answer in a span of time."""
    if not paths:
        return {}
    found = _run(_FAILURES, parts=[*paths], start=to_microseconds(start), end=to_microseconds(end))
    return dict(zip(*(column.to_pylist() for column in found.columns), strict=True))


def labelled(
    paths: Sequence[str], labels: Sequence[str], start: datetime, end: datetime, known_by: datetime | None
) -> pa.Table:
    """Return the rows of the log that have a label, with it."""
    if not paths or not labels:
        return pa.table({})
    query = f"SELECT * FROM ({_PREDICTIONS}) JOIN ({_LABELS}) USING (id)" + _ORDER
    return _run(
        query,
        parts=[*paths],
        labels=[*labels],
        start=to_microseconds(start),
        end=to_microseconds(end),
        known_by=_FOREVER if known_by is None else to_microseconds(known_by),
    )


def _run(query: str, **values: object) -> pa.Table:
    with duckdb.connect(config={"threads": 2}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        found: pa.Table = connection.sql(query, params=values).to_arrow_table()
        return found
