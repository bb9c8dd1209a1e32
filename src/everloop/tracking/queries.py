"""Queries of tracking, all in a connection that the caller opened. Tests: tests/unit/tracking/test_service.py."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from everloop.core.clock import from_microseconds
from everloop.tracking.records import DatasetInput, Experiment, Metric, Plain, Run, mark_of
from everloop.tracking.tables import (
    experiment,
    experiment_key,
    run,
    run_input,
    run_key,
    run_metric,
    run_param,
    run_tag,
    run_writer,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.sql.dml import Insert

# SQLite takes 32,766 parameters in a statement, PostgreSQL 65,535.
MOST_NAMES = 10_000


# Statements are made once: building one costs more than running it.
_NUMBER_OF = sa.select(run.c.number).where(run.c.id == sa.bindparam("uid"))
_LOCK = (
    sa.select(
        run.c.number,
        run.c.experiment_id,
        run.c.status,
        run.c.deleted_at.is_not(None),
        run.c.tail_rows,
        run.c.tail_points,
        run.c.tail_next,
    )
    .where(run.c.id == sa.bindparam("uid"))
    .with_for_update()
)
_others = run.alias("others")
_NEXT_CHANGE: dict[str, sa.ColumnElement[int]] = {
    "sqlite": sa.select(sa.func.coalesce(sa.func.max(_others.c.changed), 0) + 1).scalar_subquery(),
    "postgresql": sa.literal_column("CAST(CAST(pg_current_xact_id() AS text) AS bigint)", sa.BigInteger),
}
_ASK_CHANGE = {dialect: sa.select(change) for dialect, change in _NEXT_CHANGE.items()}
_CHANGE = {
    dialect: run.update().where(run.c.number == sa.bindparam("which")).values(changed=change)
    for dialect, change in _NEXT_CHANGE.items()
}
_EXPERIMENT_ID = sa.select(experiment.c.id).where(experiment.c.name == sa.bindparam("called"))
_KEY_IDS = sa.select(run_key.c.name, run_key.c.id).where(
    run_key.c.kind == sa.bindparam("of_kind"), run_key.c.name.in_(sa.bindparam("names", expanding=True))
)
_COLUMNS = sa.select(experiment_key.c.key_id).where(
    experiment_key.c.experiment_id == sa.bindparam("experiment"),
    experiment_key.c.key_id.in_(sa.bindparam("ids", expanding=True)),
)
_INPUTS = (
    sa.select(run_input)
    .where(run_input.c.run.in_(sa.bindparam("numbers", expanding=True)))
    .order_by(run_input.c.run, run_input.c.name)
)
_parent, _fork = run.alias("parent_run"), run.alias("fork_run")
_RUN_ROWS = (
    sa.select(
        run,
        experiment.c.name.label("experiment"),
        _parent.c.id.label("parent_id"),
        _fork.c.id.label("fork_id"),
    )
    .join(experiment, experiment.c.id == run.c.experiment_id)
    .outerjoin(_parent, _parent.c.number == run.c.parent)
    .outerjoin(_fork, _fork.c.number == run.c.fork_of)
    .where(run.c.number.in_(sa.bindparam("numbers", expanding=True)))
)


class RunRow(NamedTuple):
    """What a write needs to know of a run; its row is locked."""

    number: int
    experiment_id: int
    status: str
    is_deleted: bool
    tail_rows: int
    tail_points: int
    tail_next: int


def upsert(connection: sa.Connection, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    """Return an insert of the database's own kind, which knows ON CONFLICT."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def put_rows(
    connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, object]], *, change: Sequence[str]
) -> None:
    """Insert rows; where the primary key is there, change the named columns."""
    if not rows:
        return
    connection.execute(_put(connection.dialect.name, table, tuple(change)), rows)


@functools.cache
def _put(dialect: str, table: sa.Table, change: tuple[str, ...]) -> Insert:
    statement = sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)
    if not change:
        return statement.on_conflict_do_nothing()
    keys = [column.name for column in table.primary_key]
    taken = {name: statement.excluded[name] for name in change}
    return statement.on_conflict_do_update(index_elements=keys, set_=taken)


def insert_missing(
    connection: sa.Connection, table: sa.Table, values: Mapping[str, object], *, key: str
) -> bool:
    """Insert a row unless it is there; say whether it was inserted."""
    statement: Insert = (
        upsert(connection, table).values(values).on_conflict_do_nothing().returning(table.c[key])
    )
    return connection.execute(statement).first() is not None


def number_of(connection: sa.Connection, run_id: str) -> int | None:
    """Return the number of a run inside; None when there is no such run."""
    return connection.execute(_NUMBER_OF, {"uid": run_id}).scalar()


def exists(connection: sa.Connection, run_id: str) -> bool:
    """Say whether there is such a run."""
    return number_of(connection, run_id) is not None


def lock(connection: sa.Connection, run_id: str) -> RunRow | None:
    """Return what a write needs to know of a run, and keep other writers of it out until the commit."""
    row = connection.execute(_LOCK, {"uid": run_id}).first()
    return None if row is None else RunRow(*row)


def next_change(connection: sa.Connection) -> int:
    """Return the number that a change made in this transaction bears; see search/changes.py."""
    return int(connection.execute(_ASK_CHANGE[connection.dialect.name]).scalar_one())


def change_run(connection: sa.Connection, number: int, **values: object) -> None:
    """Change a run's row, so that readers of columns see it."""
    connection.execute(_CHANGE[connection.dialect.name], {"which": number, **values})


def experiment_id(connection: sa.Connection, name: str, now: datetime) -> int:
    """Return the id of an experiment; one that is missing is made."""
    known = connection.execute(_EXPERIMENT_ID, {"called": name}).scalar()
    if known is not None:
        return int(known)
    values = {"name": name, "created_at": now, "updated_at": now, "tags": {}}
    insert_missing(connection, experiment, values, key="id")
    return int(connection.execute(_EXPERIMENT_ID, {"called": name}).scalar_one())


def key_ids(connection: sa.Connection, kind: str, names: Iterable[str]) -> dict[str, int]:
    """Return the ids of those names that have one."""
    wanted: list[str] = list(names)
    found: dict[str, int] = {}
    for start in range(0, len(wanted), MOST_NAMES):
        asked = {"of_kind": kind, "names": wanted[start : start + MOST_NAMES]}
        found |= dict(connection.execute(_KEY_IDS, asked).all())
    return found


def make_keys(connection: sa.Connection, kind: str, names: Iterable[str]) -> dict[str, int]:
    """Return the ids of names; those that are new are made."""
    wanted = sorted(set(names))
    found = key_ids(connection, kind, wanted)
    missing = [{"kind": kind, "name": name} for name in wanted if name not in found]
    if missing:
        connection.execute(upsert(connection, run_key).on_conflict_do_nothing(), missing)
        found |= key_ids(connection, kind, [row["name"] for row in missing])
    return found


def name_keys(
    connection: sa.Connection, kind: str, names: Iterable[str], *, experiment_id: int
) -> dict[str, int]:
    """Return the ids of names; those that are new are made, and the experiment has them as columns."""
    found = make_keys(connection, kind, names)
    ids = list(found.values())
    known: set[int] = set()
    for start in range(0, len(ids), MOST_NAMES):
        asked = {"experiment": experiment_id, "ids": ids[start : start + MOST_NAMES]}
        known.update(connection.execute(_COLUMNS, asked).scalars())
    rows = [{"experiment_id": experiment_id, "key_id": one} for one in ids if one not in known]
    put_rows(connection, experiment_key, rows, change=())
    return found


def read_params(connection: sa.Connection, number: int) -> dict[str, Plain]:
    """Return the params of a run."""
    query = sa.select(run_key.c.name, run_param.c.value).where(
        run_param.c.run == number, run_key.c.id == run_param.c.key_id
    )
    return dict(connection.execute(query).all())


def set_params(
    connection: sa.Connection, number: int, params: Mapping[str, Plain], *, experiment_id: int
) -> None:
    """Set params; a name that is there gets the new value."""
    ids = name_keys(connection, "param", params, experiment_id=experiment_id) if params else {}
    rows = [
        {"run": number, "key_id": ids[name], "value": value, "number": _number(value)}
        for name, value in params.items()
    ]
    put_rows(connection, run_param, rows, change=("value", "number"))


def set_tags(connection: sa.Connection, number: int, tags: Mapping[str, str], *, experiment_id: int) -> None:
    """Set tags; a name that is there gets the new value."""
    ids = name_keys(connection, "tag", tags, experiment_id=experiment_id) if tags else {}
    rows = [{"run": number, "key_id": ids[name], "value": value} for name, value in tags.items()]
    put_rows(connection, run_tag, rows, change=("value",))


def remove_tags(connection: sa.Connection, number: int, names: Iterable[str]) -> int:
    """Remove tags; return how many there were."""
    ids = key_ids(connection, "tag", names).values()
    gone = run_tag.delete().where(run_tag.c.run == number, run_tag.c.key_id.in_(ids))
    return int(connection.execute(gone).rowcount)


def is_new_batch(connection: sa.Connection, number: int, *, writer: str, sequence: int) -> bool:
    """Note a batch of a writer; False when it, or a later one, was noted before."""
    where = (run_writer.c.run == number, run_writer.c.writer == writer)
    last = connection.execute(sa.select(run_writer.c.sequence).where(*where)).scalar()
    if last is not None and sequence <= last:
        return False
    row = {"run": number, "writer": writer, "sequence": sequence}
    put_rows(connection, run_writer, [row], change=("sequence",))
    return True


def last_sequence(connection: sa.Connection, number: int, writer: str) -> int:
    """Return the sequence of a writer's last batch that was applied; -1 when there was none."""
    query = sa.select(run_writer.c.sequence).where(run_writer.c.run == number, run_writer.c.writer == writer)
    last = connection.execute(query).scalar()
    return -1 if last is None else int(last)


def read_run(connection: sa.Connection, run_id: str) -> Run | None:
    """Return one run with everything that is small."""
    number = number_of(connection, run_id)
    return None if number is None else read_runs(connection, [number])[0]


def list_runs(
    connection: sa.Connection, *, experiment_name: str, status: str, limit: int, after: str
) -> list[Run]:
    """Return runs that are not deleted, newest first."""
    query = sa.select(run.c.number).where(run.c.deleted_at.is_(None)).limit(limit)
    if experiment_name:
        ids = sa.select(experiment.c.id).where(experiment.c.name == experiment_name).scalar_subquery()
        query = query.where(run.c.experiment_id == ids)
    if status:
        query = query.where(run.c.status == status)
    if after:
        row = connection.execute(sa.select(run.c.created_at, run.c.number).where(run.c.id == after)).first()
        if row is not None:
            older = sa.tuple_(run.c.created_at, run.c.number) < sa.tuple_(
                sa.literal(row.created_at, run.c.created_at.type), sa.literal(row.number)
            )
            query = query.where(older)
    query = query.order_by(run.c.created_at.desc(), run.c.number.desc())
    return read_runs(connection, list(connection.execute(query).scalars()))


def read_runs(
    connection: sa.Connection, numbers: Sequence[int], *, keys: Sequence[int] | None = None
) -> list[Run]:
    """Return runs in the order of `numbers`: one query for runs and one for each kind of value.

    Args:
        connection: the open connection.
        numbers: of the runs.
        keys: ids of the params, tags and metrics to read; all of them by default.
    """
    params = _values(connection, run_param, numbers, keys)
    tags = _values(connection, run_tag, numbers, keys)
    metrics = _values(connection, run_metric, numbers, keys)
    inputs: dict[int, list[Any]] = {}
    for item in connection.execute(_INPUTS, {"numbers": list(numbers)}):
        inputs.setdefault(item.run, []).append(item)
    found = {}
    for row in _run_rows(connection, numbers):
        found[row.number] = Run(
            id=row.id,
            experiment=row.experiment,
            name=row.name,
            status=row.status,
            created_at=row.created_at,
            ended_at=row.ended_at,
            deleted_at=row.deleted_at,
            error=row.error,
            owner=row.owner,
            note=row.note,
            parent=row.parent_id or "",
            fork_of=row.fork_id or "",
            fork_step=row.fork_step,
            capture=row.capture,
            params={item.name: item.value for item in params.get(row.number, [])},
            tags={item.name: item.value for item in tags.get(row.number, [])},
            metrics=[_metric(item) for item in metrics.get(row.number, [])],
            inputs=[
                DatasetInput(name=i.name, ref=i.ref, digest=i.digest) for i in inputs.get(row.number, [])
            ],
        )
    return [found[number] for number in numbers if number in found]


def _run_rows(connection: sa.Connection, numbers: Sequence[int]) -> Iterable[Any]:
    return connection.execute(_RUN_ROWS, {"numbers": list(numbers)}) if numbers else ()


def _values(
    connection: sa.Connection, table: sa.Table, numbers: Sequence[int], keys: Sequence[int] | None
) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    if not numbers:
        return found
    query = _values_of(table)
    if keys is not None:
        query = query.where(table.c.key_id.in_(keys))
    for row in connection.execute(query, {"numbers": list(numbers)}):
        found.setdefault(row.run, []).append(row)
    return found


@functools.cache
def _values_of(table: sa.Table) -> sa.Select[Any]:
    query = sa.select(table, run_key.c.name).join(run_key, run_key.c.id == table.c.key_id)
    query = query.where(table.c.run.in_(sa.bindparam("numbers", expanding=True)))
    return query.order_by(table.c.run, run_key.c.name)


def _metric(row: Any) -> Metric:  # noqa: ANN401 - a row
    value, mark = mark_of(row.value)
    return Metric(
        name=row.name,
        value=value,
        mark=mark,
        step=row.step,
        time=from_microseconds(row.time),
        least=mark_of(row.least)[0],
        greatest=mark_of(row.greatest)[0],
        count=row.count,
    )


def _number(value: Plain) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def list_experiments(connection: sa.Connection, *, deleted: bool = False) -> list[Experiment]:
    """Return the experiments by name with the number of their runs that are not deleted."""
    counts = (
        sa.select(run.c.experiment_id, sa.func.count().label("runs"))
        .where(run.c.deleted_at.is_(None))
        .group_by(run.c.experiment_id)
        .subquery()
    )
    query = (
        sa.select(experiment, sa.func.coalesce(counts.c.runs, 0).label("runs"))
        .outerjoin(counts, counts.c.experiment_id == experiment.c.id)
        .order_by(experiment.c.name)
    )
    if not deleted:
        query = query.where(experiment.c.deleted_at.is_(None))
    return [as_experiment(row) for row in connection.execute(query)]


def as_experiment(row: Any) -> Experiment:  # noqa: ANN401 - a row of experiment with `runs`
    """Return a row as a record."""
    return Experiment(
        id=row.id,
        name=row.name,
        created_at=row.created_at,
        updated_at=row.updated_at,
        deleted_at=row.deleted_at,
        tags=row.tags,
        runs=row.runs,
    )
