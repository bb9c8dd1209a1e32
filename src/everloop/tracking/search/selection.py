"""The runs that one filter chooses, over one look at the columns. Tests: tests/unit/tracking/search/test_searching.py."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import sqlalchemy as sa

from everloop.core.errors import InvalidInputError
from everloop.tracking import queries
from everloop.tracking.keeping import runs_that_printed
from everloop.tracking.search import evaluate
from everloop.tracking.search.columns import NumberColumn, TextColumn, experiment_ids
from everloop.tracking.search.language import FilterError, parse_field
from everloop.tracking.search.tree import All, Comparison, Field
from everloop.tracking.tables import run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from everloop.tracking.search.columns import Column, Columns
    from everloop.tracking.search.tree import Operator, Order, Tree, Value

_OUTPUT = Field("run", "output")
# What may be asked of output, and the form of it that says yes.
_IN_OUTPUT: dict[Operator, Operator] = {
    "contains": "contains",
    "not contains": "contains",
    "=~": "=~",
    "!~": "=~",
}
_AGGREGATE = re.compile(r"(mean|median|min|max|std|count)\((.+)\)\Z")


class PageMismatchError(InvalidInputError):
    """A page mark belongs to another order."""

    code = "tracking.page-mismatch"


class Selection:
    """The runs that a filter chooses.

    Attributes:
        connection: the reading connection, for what else is wanted of the same state.
        numbers: of the runs, rising.
    """

    def __init__(
        self, columns: Columns, connection: sa.Connection, tree: Tree, *, deleted: bool | None = False
    ) -> None:
        self.connection = connection
        self._columns = columns
        trash = Field("run", "deleted")
        is_shown = (
            Comparison(trash, "not null") if deleted is None else Comparison(trash, "==", 1 if deleted else 0)
        )
        self.numbers: npt.NDArray[np.int64] = np.flatnonzero(evaluate.choose(All((is_shown, tree)), self))

    @property
    def count(self) -> int:
        """Return how many runs are chosen."""
        return len(self.numbers)

    @property
    def room(self) -> int:
        """Return the length of the columns."""
        return self._columns.room

    def column(self, field: Field) -> Column:
        """Return a column of values; that of a text attribute of other rows holds the texts themselves.

        Raises:
            FilterError: the output of runs is no column.
        """
        if field == _OUTPUT:
            raise FilterError(
                'the output of runs can only be searched: "text" in output, or output =~ "pattern".',
                subject="output",
            )
        if field == Field("run", "experiment"):
            return self._named(field, experiment_ids(self.connection))
        if field in (Field("run", "parent"), Field("run", "id")):
            return self._ids(field)
        return self._columns.get(self.connection, field)

    def special(self, comparison: Comparison) -> npt.NDArray[np.bool_] | None:
        """Return the runs of an id without loading all ids, and those that printed a text; None for every other comparison."""
        if comparison.field == _OUTPUT and comparison.operator in _IN_OUTPUT:
            return self._printed(comparison)
        if comparison.field != Field("run", "id") or comparison.operator not in ("==", "in"):
            return None
        asked = comparison.value if isinstance(comparison.value, tuple) else (comparison.value,)
        wanted = [str(one) for one in asked]
        mask = np.zeros(self.room, bool)
        for start in range(0, len(wanted), queries.MOST_NAMES):
            query = sa.select(run.c.number).where(run.c.id.in_(wanted[start : start + queries.MOST_NAMES]))
            mask[np.array(self.connection.execute(query).scalars().all(), np.int64)] = True
        return mask

    def page(
        self, orders: Sequence[Order], *, limit: int, after: list[Any] | None
    ) -> tuple[list[int], list[Any] | None]:
        """Return the numbers of a page of runs, and what marks its end; None when nothing follows."""
        keys = [evaluate.sort_keys(order, self) for order in orders]
        chosen = self.numbers
        if after is not None:
            if len(after) != len(orders) + 1:
                raise PageMismatchError("this mark is of a page in another order. Begin again without it.")
            last = [
                evaluate.key_of(order, self, value[0] if value else None, is_missing=not value)
                for order, value in zip(orders, after[:-1], strict=True)
            ]
            chosen = evaluate.after(keys, last, after[-1], chosen)
        found = evaluate.first(keys, chosen, limit).tolist()
        has_more = len(chosen) > len(found)
        mark = (
            [*(self._value(order, found[-1]) for order in orders), found[-1]] if has_more and found else None
        )
        return found, mark

    def facet(self, field: Field, *, limit: int) -> dict[str, Any]:
        """Return how the chosen runs spread over the values of a field."""
        column = self.column(field)
        present = int(column.present[self.numbers].sum())
        numbers = column.numbers[self.numbers]
        finite = numbers[np.isfinite(numbers)]
        figures = {
            "field": str(field),
            "runs": present,
            "least": float(finite.min()) if len(finite) else None,
            "greatest": float(finite.max()) if len(finite) else None,
            "mean": float(finite.mean()) if len(finite) else None,
        }
        if isinstance(column, TextColumn):
            return {**figures, "values": evaluate.top_values(column, self.numbers, limit)}
        counts, borders = np.histogram(finite, bins=limit) if len(finite) else (np.empty(0, int), np.empty(1))
        return {**figures, "values": list(zip(borders[:-1].tolist(), counts.tolist(), strict=True))}

    def groups(
        self, by: Sequence[Field], aggregates: Sequence[str], *, limit: int
    ) -> list[tuple[list[Value], int, dict[str, float | None]]]:
        """Return the groups of the chosen runs, largest first, with figures of each."""
        values, places = evaluate.groups([self.column(field) for field in by], self.numbers)
        counts = np.bincount(places, minlength=len(values))
        figures = {text: self._aggregate(text, places, len(values)) for text in aggregates}
        order = np.argsort(-counts, kind="stable")[:limit].tolist()
        return [
            (list(values[at]), int(counts[at]), {text: _plain(found[at]) for text, found in figures.items()})
            for at in order
        ]

    def _aggregate(self, text: str, places: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.float64]:
        match = _AGGREGATE.match(text)
        if match is None:
            raise FilterError(
                f"{text!r} is no aggregate. Write mean(metrics.auc); there are mean, median, min, max, std, count.",
                subject=text,
            )
        numbers = self.column(parse_field(match[2])).numbers[self.numbers]
        known = np.isfinite(numbers)
        order = np.argsort(places[known], kind="stable")
        mine, at = numbers[known][order], places[known][order]
        found = np.full(count, np.nan)
        borders = np.flatnonzero(np.diff(at, prepend=-1))
        for start, end in zip(borders.tolist(), [*borders[1:].tolist(), len(at)], strict=True):
            found[at[start]] = _FIGURES[match[1]](mine[start:end])
        return np.where(np.isnan(found), 0.0, found) if match[1] == "count" else found

    def _value(self, order: Order, number: int) -> list[Any]:
        """Return the value of a run in a list, which is empty where it has none."""
        column = self.column(order.field)
        if not column.present[number]:
            return []
        if isinstance(column, TextColumn):
            return [column.values[column.codes[number]]]
        value = float(column.numbers[number])
        return [value if np.isfinite(value) else str(value)]

    def _printed(self, comparison: Comparison) -> npt.NDArray[np.bool_]:
        """Return the runs with a line that fits, or that printed something and have none; all output is read."""
        positive = _IN_OUTPUT[comparison.operator]
        fits = evaluate.test(msgspec.structs.replace(comparison, operator=positive))
        printed, hits = np.zeros(self.room, bool), np.zeros(self.room, bool)
        for number, lines in runs_that_printed(self.connection):
            printed[number] = True
            if not hits[number]:
                hits[number] = any(fits(line) for line in lines)
        return hits if positive == comparison.operator else printed & ~hits

    def _named(self, field: Field, names: dict[int, str]) -> TextColumn:
        """Return a column of names by the ids that a column of numbers holds."""
        held = self._columns.get(self.connection, field)
        assert isinstance(held, NumberColumn)  # noqa: S101 - ids are numbers
        found = TextColumn(0)
        ids = sorted(names)
        found.values = [names[one] for one in ids]
        places = np.searchsorted(ids, np.where(held.present, held.numbers, ids[0] if ids else 0))
        found.codes = np.where(held.present, places, -1).astype(np.int32)
        return found

    def _ids(self, field: Field) -> TextColumn:
        if field.name == "parent":
            held = self._columns.get(self.connection, field)
            wanted = np.unique(held.numbers[held.present]).astype(np.int64).tolist()
            query = sa.select(run.c.number, run.c.id).where(run.c.number.in_(wanted))
            return self._named(field, dict(self.connection.execute(query).all()))
        names = dict(self.connection.execute(sa.select(run.c.number, run.c.id)).all())
        return self._named(Field("run", "number"), names)


_FIGURES: dict[str, Callable[[npt.NDArray[np.float64]], Any]] = {
    "mean": np.mean,
    "median": np.median,
    "min": np.min,
    "max": np.max,
    "std": np.std,
    "count": len,
}


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
