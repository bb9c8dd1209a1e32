"""The point-in-time join: for each entity at its time the features that were known then, exactly one row each.

DuckDB reads the rows of the entities' keys once, with their times; `choosing.py` finds the row of each entity; DuckDB computes
the features of the rows that were chosen. Memory grows with the entities, not with the rows.
Tests: tests/unit/data/features/test_joining.py, tests/property/test_features.py; speed: benchmarks/features.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa

from everloop.data.contents import normalise
from everloop.data.deltas import PLACE
from everloop.data.engine import connect, quote, scan_of
from everloop.data.features import expressions
from everloop.data.features.choosing import NOWHERE, Choice
from everloop.data.features.errors import FeatureViewError, LostRowError
from everloop.data.rows import hash_rows
from everloop.data.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from everloop.data.features.choosing import Chosen, Words
    from everloop.data.features.records import FeatureView

_BATCH_ROWS = 1 << 18
_CODE, _SLOT, _NUMBER = "everloop_code", "everloop_slot", "everloop_number"
__all__ = ["Answers", "FeatureViewError", "LostRowError", "Matching", "join_features"]


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
    expressions.refuse_missing("the entities", entities.columns, [time])
    found = entities.to_arrow()
    for view, source in views:
        features = features_at(entities, view, source, time=time)
        if features.num_rows != entities.num_rows:
            raise LostRowError(
                f"{entities.num_rows:,} entities gave {features.num_rows:,} rows. Please report this."
            )
        for name in features.column_names:
            shown = name if name not in found.column_names else f"{view.name}__{name}"
            found = found.append_column(shown, features.column(name))
    return Table(arrow=found)


def features_at(entities: Table, view: FeatureView, source: Table, *, time: str) -> pa.Table:
    """Return the features of one view for each entity, in the order of the entities."""
    with connect(entities=entities) as connection:
        try:
            matching = Matching(connection, entities, view, source, time=time)
            answers = matching.answers()
            return matching.features_of(answers.alive(view))
        except duckdb.Error as error:
            raise expressions.failed(error, view) from error


class Answers(NamedTuple):
    """For each of n entities, in their order: the place of its row, `NOWHERE` for none, and times in microseconds."""

    places: Words
    moments: Words
    happened: Words
    known: Words

    def alive(self, view: FeatureView) -> Words:
        """Return the places without those of rows that had outlived the view's ttl."""
        if not view.ttl:
            return self.places
        return np.where(self.moments - self.happened <= expressions.longest_age(view), self.places, NOWHERE)


class Matching:
    """Entities and the rows of a view's source, on one connection.

    Args:
        connection: where the entities are registered as `entities`.
        entities: rows with the keys of the view and the time.
        view: what to join.
        source: the rows of its dataset.
        time: the column of the entities that says as of when.

    Raises:
        FeatureViewError: see `join_features`.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        entities: Table,
        view: FeatureView,
        source: Table,
        *,
        time: str,
    ) -> None:
        expressions.refuse_missing(
            f"the source of {view.name}", source.columns, expressions.columns_needed(view)
        )
        expressions.refuse_missing("the entities", entities.columns, [*view.keys, time])
        expressions.refuse_unusable(connection, view)
        self._connection, self._view, self._time = connection, view, time
        self._entities, self._source = entities, source
        self._rows = expressions.rows_that_count(view, "source")
        self._matched = " AND ".join(f"c.{quote(key)} = s.{quote(key)}" for key in view.keys)
        self._register_source()
        keys = ", ".join(map(quote, view.keys))
        whole = " AND ".join(f"{quote(key)} IS NOT NULL" for key in view.keys)
        connection.execute(
            f"CREATE TEMP TABLE everloop_codes AS SELECT *, row_number() OVER () - 1 AS {_CODE} "
            f"FROM (SELECT DISTINCT {keys} FROM entities WHERE {whole})"
        )

    def answers(self) -> Answers:
        """Return the row of each entity."""
        codes, moments, numbers = self._sorted_entities()
        choice = Choice(codes, moments, self._count("everloop_codes"))
        for batch in self._connection.sql(self._times_of_rows()).to_arrow_reader(_BATCH_ROWS):
            given = [column.to_numpy() for column in batch.columns]
            choice.add(*given if self._view.known_time else (given[0], given[1], given[1], given[2]))
        chosen = choice.finish()
        places = self._settle_ties(codes, chosen)
        n = self._entities.num_rows
        found = Answers(np.full(n, NOWHERE), *(np.zeros(n, np.int64) for _ in range(3)))
        for column, values in zip(found, (places, moments, chosen.happened, chosen.known), strict=True):
            column[numbers] = values
        return found

    def features_of(self, places: Words) -> pa.Table:
        """Return the features of the rows at some places, in their order; nulls for `NOWHERE`."""
        if self._source.pieces():
            rows, index = self._stored_rows(places)
        else:
            rows, index = self._rows_in_memory(places)
        self._connection.register("this", rows)
        shown = self._connection.sql(f"SELECT {expressions.shown_features(self._view)} FROM this")
        return normalise(shown.to_arrow_table().combine_chunks().take(index))

    def _rows_in_memory(self, places: Words) -> tuple[pa.Table, Any]:
        """Return rows that hold those at some places, and which of them each place is; null for `NOWHERE`."""
        is_there = places != NOWHERE
        rows = self._source.to_arrow(expressions.columns_read(self._view, self._source.column_names))
        return rows.take(places[is_there]), pa.array(np.cumsum(is_there) - 1, mask=~is_there)

    def _stored_rows(self, places: Words) -> tuple[pa.Table, Any]:
        unique, which = np.unique(places, return_inverse=True)
        self._connection.register("wanted", pa.table({PLACE: unique, _SLOT: np.arange(len(unique))}))
        columns = map(quote, expressions.columns_read(self._view, self._source.column_names))
        rows = self._connection.sql(
            f"SELECT {', '.join(columns)}, {_SLOT} FROM source JOIN wanted USING ({PLACE})"
        ).to_arrow_table()
        at = np.full(len(unique), -1)
        at[rows.column(_SLOT).to_numpy()] = np.arange(rows.num_rows)
        wanted = at[which]
        return rows, pa.array(wanted, mask=wanted < 0)

    def _register_source(self) -> None:
        pieces = self._source.pieces()
        if pieces:
            scan = scan_of(self._connection, pieces, name="source", place=PLACE)
            self._connection.execute(f"CREATE TEMP VIEW source AS {scan}")
        else:
            rows = self._source.to_arrow()
            placed = rows.append_column(PLACE, pa.array(np.arange(rows.num_rows)))
            self._connection.register("source", placed)

    def _sorted_entities(self) -> tuple[Words, Words, Words]:
        """Return code, time and number of the entities that can have an answer, by code and time."""
        matched = self._matched.replace("s.", "e.")
        moment = expressions.microseconds(self._entities.columns, self._time, "e")
        found = self._connection.sql(
            f"SELECT c.{_CODE}, {moment} AS moment, e.{_NUMBER} FROM (SELECT *, row_number() OVER () - 1 AS {_NUMBER} FROM entities) AS e "
            f"JOIN everloop_codes AS c ON {matched} WHERE e.{quote(self._time)} IS NOT NULL ORDER BY ALL"
        ).to_arrow_table()
        codes, moments, numbers = (column.to_numpy() for column in found.columns)
        return codes, moments, numbers

    def _times_of_rows(self) -> str:
        view = self._view
        shown = ", ".join(
            expressions.microseconds(self._source.columns, name, "s") for name in expressions.times_of(view)
        )
        return f"SELECT c.{_CODE}, {shown}, s.{PLACE} FROM {self._rows} AS s JOIN everloop_codes AS c ON {self._matched}"

    def _settle_ties(self, codes: Words, chosen: Chosen) -> Words:
        """Return the places where, of rows that are equally good, the one with the greatest hash is chosen."""
        if not chosen.tied.any():
            return chosen.places
        landed, first, which = np.unique(chosen.landed[chosen.tied], return_index=True, return_inverse=True)
        at = np.flatnonzero(chosen.tied)[first]
        tied = {
            _CODE: codes[at],
            "everloop_happened": chosen.happened[at],
            "everloop_known": chosen.known[at],
            _SLOT: np.arange(len(landed)),
        }
        self._connection.register("tied", pa.table(tied))
        # With the keys in it the rows are found by one join on all that must be equal, however few times there are.
        self._connection.execute(
            f"CREATE TEMP TABLE everloop_tied AS SELECT * FROM tied JOIN everloop_codes USING ({_CODE})"
        )
        view, columns = self._view, self._source.columns
        times = zip(("happened", "known"), expressions.times_of(view), strict=False)
        equal = [
            f"t.everloop_{name} = {expressions.microseconds(columns, column, 's')}" for name, column in times
        ]
        equal += [f"t.{quote(key)} = s.{quote(key)}" for key in view.keys]
        found = normalise(
            self._connection.sql(
                f"SELECT t.{_SLOT}, s.* FROM {self._rows} AS s JOIN everloop_tied AS t ON {' AND '.join(equal)}"
            ).to_arrow_table()
        )
        hashes = hash_rows(found.drop_columns([_SLOT, PLACE]))
        slots = found.column(_SLOT).to_numpy()
        order = np.lexsort((hashes.b, hashes.a, slots))
        last = order[np.searchsorted(slots[order], np.arange(len(landed)), side="right") - 1]
        places = chosen.places.copy()
        places[chosen.tied] = found.column(PLACE).to_numpy()[last][which]
        return places

    def _count(self, table: str) -> int:
        return int(self._connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])
