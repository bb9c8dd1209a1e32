"""Values of all runs as columns in memory, so that a filter over a million runs takes milliseconds on either database.

A column is loaded when it is first asked for, and brought up to date by what changed since: each change of a run bears a number that
rises (`run.changed`). On PostgreSQL that number is the transaction's, and everything from the oldest transaction
that was open at the last look on is read again, so that nothing committed late is missed. A column is a cache: it can always be dropped.
Tests: tests/property/test_search.py, tests/unit/tracking/search.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import sqlalchemy as sa

from everloop.tracking import queries
from everloop.tracking.tables import experiment, run, run_input, run_metric, run_param, run_tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    from everloop.kernel.catalog import Catalog
    from everloop.tracking.search.tree import Field, Value

LARGEST_CACHE_BYTES = 384 << 20
# When more runs than this changed, columns are loaded anew.
_MOST_CHANGES = 20_000
_ROOM = 1024


class NumberColumn:
    """Numbers by run number; a run without one is not `present`, and one with NaN is.

    Attributes:
        numbers: shape (room,), NaN where nothing is present.
        present: shape (room,).
    """

    def __init__(self, room: int) -> None:
        self.numbers = np.full(room, np.nan)
        self.present = np.zeros(room, bool)

    @property
    def size_bytes(self) -> int:
        """Return about how much memory the column takes."""
        return 9 * len(self.numbers)

    def grow(self, room: int) -> None:
        """Make place for more runs."""
        more = room - len(self.numbers)
        self.numbers = np.concatenate([self.numbers, np.full(more, np.nan)])
        self.present = np.concatenate([self.present, np.zeros(more, bool)])

    def clear(self, numbers: npt.NDArray[np.int64]) -> None:
        """Forget the values of some runs."""
        self.numbers[numbers] = np.nan
        self.present[numbers] = False

    def fill(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Set values from rows of run number and number; None stands for NaN."""
        if rows:
            at, values = zip(*rows, strict=True)
            places = np.fromiter(at, np.int64, len(rows))
            self.numbers[places] = np.array(values, np.float64)
            self.present[places] = True


class TextColumn:
    """Values of any plain kind by run number, each different value once.

    Attributes:
        codes: shape (room,), the place in `values`; -1 where a run has none.
        values: the different values.
        numbers: shape (room,), the values that are numbers; NaN for others.
    """

    def __init__(self, room: int) -> None:
        self.codes = np.full(room, -1, np.int32)
        self.values: list[Value] = []
        self._code: dict[str, int] = {}
        self._numbers: npt.NDArray[np.float64] | None = None
        self._ranks: npt.NDArray[np.float64] | None = None
        self._bytes = 0

    @property
    def size_bytes(self) -> int:
        """Return about how much memory the column takes."""
        return 4 * len(self.codes) + self._bytes + 120 * len(self.values)

    @property
    def present(self) -> npt.NDArray[np.bool_]:
        """Return where a run has a value."""
        return self.codes >= 0

    @property
    def numbers(self) -> npt.NDArray[np.float64]:
        """Return the values that are numbers, NaN for others."""
        if self._numbers is None:
            self._numbers = np.array([_number(value) for value in self.values], np.float64)
        return _at(self._numbers, self.codes, np.nan)

    @property
    def ranks(self) -> npt.NDArray[np.float64]:
        """Return the place of each different value in their order: numbers by size, then texts."""
        if self._ranks is None:
            order = sorted(range(len(self.values)), key=lambda code: sort_key(self.values[code]))
            self._ranks = np.empty(len(order))
            self._ranks[order] = np.arange(len(order), dtype=float)
        return self._ranks

    def grow(self, room: int) -> None:
        """Make place for more runs."""
        self.codes = np.concatenate([self.codes, np.full(room - len(self.codes), -1, np.int32)])

    def clear(self, numbers: npt.NDArray[np.int64]) -> None:
        """Forget the values of some runs."""
        self.codes[numbers] = -1

    def fill(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Set values from rows of run number and JSON text."""
        code = self._code
        known = len(code)
        found = np.empty(len(rows), np.int32)
        at = np.empty(len(rows), np.int64)
        for place, (number, text) in enumerate(rows):
            at[place] = number
            found[place] = code.setdefault(text, len(code))
        for text in list(code)[known:] if known else code:
            self.values.append(msgspec.json.decode(text))
            self._bytes += len(text)
        if len(code) > known:
            self._numbers = self._ranks = None
        self.codes[at] = found


Column = NumberColumn | TextColumn


class Columns:
    """The columns of a home. Threads may share it: hold `lock` while columns are used.

    Attributes:
        room: the length of every column; run numbers are below it.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.lock = threading.RLock()
        self._catalog = catalog
        self._held: OrderedDict[Field, Column] = OrderedDict()
        self._seen = -1
        self.room = 0

    def refresh(self, connection: sa.Connection) -> None:
        """Bring the columns that are held up to date."""
        newest = connection.execute(sa.select(sa.func.coalesce(sa.func.max(run.c.number), 0))).scalar_one()
        if newest >= self.room:
            self.room = int(newest * 1.25) + _ROOM
            for column in self._held.values():
                column.grow(self.room)
        horizon = self._horizon(connection)
        if self._held and self._seen >= 0:
            changed = self._changed(connection)
            if changed is None:
                self._held.clear()
            elif len(changed):
                for field, column in self._held.items():
                    column.clear(changed)
                    column.fill(list(_rows(connection, field, changed)))
        self._seen = horizon

    def get(self, connection: sa.Connection, field: Field) -> Column:
        """Return a column, loaded when it is not held; call `refresh` before, with the same connection."""
        column = self._held.get(field)
        if column is None:
            column = TextColumn(self.room) if _is_text(field) else NumberColumn(self.room)
            column.fill(list(_rows(connection, field, None)))
            self._held[field] = column
            self._drop_old()
        self._held.move_to_end(field)
        return column

    def _drop_old(self) -> None:
        while (
            len(self._held) > 1 and sum(one.size_bytes for one in self._held.values()) > LARGEST_CACHE_BYTES
        ):
            self._held.popitem(last=False)

    def _horizon(self, connection: sa.Connection) -> int:
        """Return the number from which on changes must be read at the next look."""
        if connection.dialect.name == "sqlite":
            return (
                int(
                    connection.execute(
                        sa.select(sa.func.coalesce(sa.func.max(run.c.changed), 0))
                    ).scalar_one()
                )
                + 1
            )
        oldest = sa.text("SELECT CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)")
        return int(connection.execute(oldest).scalar_one())

    def _changed(self, connection: sa.Connection) -> npt.NDArray[np.int64] | None:
        query = sa.select(run.c.number).where(run.c.changed >= self._seen).limit(_MOST_CHANGES + 1)
        found = connection.execute(query).scalars().all()
        return None if len(found) > _MOST_CHANGES else np.array(found, np.int64)


def sort_key(value: Value) -> tuple[int, float, str]:
    """Return what values of any kind are ordered by: numbers by size, then texts."""
    number = _number(value)
    return (0, number, "") if number == number else (1, 0.0, str(value))  # noqa: PLR0124 - NaN


def _number(value: Value) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else np.nan


def _at(
    values: npt.NDArray[np.float64], codes: npt.NDArray[np.int32], missing: float
) -> npt.NDArray[np.float64]:
    """Return the value of each code; the last place of the longer array serves -1."""
    return np.append(values, missing)[codes]


def _is_text(field: Field) -> bool:
    if field.kind == "metric":
        return False
    return field.kind != "run" or field.name in _TEXTS


_TEXTS: dict[str, sa.Column[str]] = {
    "name": run.c.name,
    "status": run.c.status,
    "owner": run.c.owner,
    "note": run.c.note,
    "error": run.c.error,
}
_NUMBERS: dict[str, sa.ColumnElement[Any]] = {
    "created_at": sa.type_coerce(run.c.created_at, sa.BigInteger),
    "ended_at": sa.type_coerce(run.c.ended_at, sa.BigInteger),
    "duration": (
        sa.type_coerce(run.c.ended_at, sa.BigInteger) - sa.type_coerce(run.c.created_at, sa.BigInteger)
    )
    / 1e6,
    "deleted": sa.case((run.c.deleted_at.is_(None), 0), else_=1),
    "experiment": run.c.experiment_id,
    "parent": run.c.parent,
    "number": run.c.number,
}
_ASPECTS: dict[str, sa.ColumnElement[Any]] = {
    "value": run_metric.c.value,
    "min": run_metric.c.least,
    "max": run_metric.c.greatest,
    "count": run_metric.c.count,
    "step": run_metric.c.step,
    "time": run_metric.c.time,
}


def _rows(
    connection: sa.Connection, field: Field, numbers: npt.NDArray[np.int64] | None
) -> Iterable[tuple[Any, ...]]:
    """Yield run number and value of a field, of all runs or of some; texts as JSON."""
    if numbers is None:
        yield from _select(connection, field, None)
        return
    for start in range(0, len(numbers), queries.MOST_NAMES):
        yield from _select(connection, field, numbers[start : start + queries.MOST_NAMES].tolist())


def _select(connection: sa.Connection, field: Field, numbers: list[int] | None) -> Iterable[tuple[Any, ...]]:
    match field.kind:
        case "run" if field.name in _TEXTS:
            texts = sa.select(run.c.number, _TEXTS[field.name])
            return _as_json(connection, _within(texts, run.c.number, numbers))
        case "run":
            value = _NUMBERS[field.name]
            figures = sa.select(run.c.number, value).where(value.is_not(None))
            return _plain(connection, _within(figures, run.c.number, numbers))
        case "input":
            refs = sa.select(run_input.c.run, run_input.c.ref).where(run_input.c.name == field.name)
            return _as_json(connection, _within(refs, run_input.c.run, numbers))
    key = queries.key_ids(connection, field.kind, [field.name]).get(field.name)
    return () if key is None else _keyed(connection, field, key, numbers)


def _keyed(
    connection: sa.Connection, field: Field, key: int, numbers: list[int] | None
) -> Iterable[tuple[Any, ...]]:
    if field.kind == "tag":
        query = sa.select(run_tag.c.run, run_tag.c.value).where(run_tag.c.key_id == key)
        return _as_json(connection, _within(query, run_tag.c.run, numbers))
    if field.kind == "param":
        text = sa.func.coalesce(sa.type_coerce(run_param.c.value, sa.Text), "null")
        query = sa.select(run_param.c.run, text).where(run_param.c.key_id == key)
        return _plain(connection, _within(query, run_param.c.run, numbers))
    query = sa.select(run_metric.c.run, _ASPECTS[field.aspect]).where(run_metric.c.key_id == key)
    return _plain(connection, _within(query, run_metric.c.run, numbers))


def _as_json(connection: sa.Connection, query: sa.Select[Any]) -> Iterable[tuple[Any, ...]]:
    encode = msgspec.json.Encoder().encode
    return [(number, encode(text).decode()) for number, text in _plain(connection, query)]


def _within(
    query: sa.Select[Any], column: sa.ColumnElement[int], numbers: list[int] | None
) -> sa.Select[Any]:
    return query if numbers is None else query.where(column.in_(numbers))


def _plain(connection: sa.Connection, query: sa.Select[Any]) -> Iterable[tuple[Any, ...]]:
    """Return rows as the driver gives them; a million rows cost a fifth of what SQLAlchemy's take."""
    if connection.dialect.name != "sqlite":
        return connection.execute(query).all()
    compiled = query.compile(dialect=connection.dialect, compile_kwargs={"render_postcompile": True})
    cursor = connection.connection.cursor()
    parameters = [compiled.params[name] for name in compiled.positiontup or ()]
    cursor.execute(str(compiled), parameters)
    return cursor.fetchall()


def experiment_ids(connection: sa.Connection) -> dict[int, str]:
    """Return the names of the experiments by id."""
    return dict(connection.execute(sa.select(experiment.c.id, experiment.c.name)).all())
