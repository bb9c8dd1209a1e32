"""The rows that are looked up online, computed by the join that training uses.

Of each key the row that counts at the horizon is kept, and those that will take its place later because they are not yet
known or have not yet happened: they are the answers of the join at the horizon and at each later moment at which a row of the
key can first be used. From one version of the source to the next only keys are computed of which a row was added or removed.
Tests: tests/unit/data/features/test_featuring.py, tests/property/test_online_features.py.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import duckdb
import pyarrow as pa

from everloop.core.clock import to_microseconds
from everloop.data.deltas import changed_rows, rows_at
from everloop.data.engine import connect, quote
from everloop.data.features import expressions
from everloop.data.features.choosing import NOWHERE
from everloop.data.features.form import Form, OnlineRow, encode_rows
from everloop.data.features.joining import Matching
from everloop.data.row_diff import sides
from everloop.data.sql import sql
from everloop.data.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from everloop.data.features.records import FeatureView
    from everloop.data.records import TableReference
    from everloop.kernel.objects import Objects

# Keys that are computed by one pass over the source.
_KEYS_AT_ONCE = 500_000
_AT = "everloop_at"


class KeyRows(NamedTuple):
    """The text of a key, and its rows as they are stored; empty when it has none."""

    key: str
    rows: bytes


def all_keys(view: FeatureView, source: Table) -> pa.Table:
    """Return the keys of the rows that count."""
    keys, whole = _key_columns(view)
    with connect(source=source) as connection:
        try:
            expressions.refuse_unusable(connection, view)
            query = f"SELECT DISTINCT {keys} FROM {expressions.rows_that_count(view, 'source')} WHERE {whole}"
            return Table(arrow=connection.sql(query).to_arrow_table()).to_arrow()
        except duckdb.Error as error:
            raise expressions.failed(error, view) from error


def touched_keys(
    view: FeatureView, old: TableReference, new: TableReference, objects: Objects
) -> pa.Table | None:
    """Return the keys of rows that one of two versions has and the other has not; None when all have to be computed."""
    if old.columns != new.columns:
        return None
    compared = sides(old, new, objects)
    changed = changed_rows(compared.old, compared.new, rows=compared.rows)
    found = [
        rows.select(view.keys)
        for pieces, places in ((compared.old, changed.removed), (compared.new, changed.added))
        for rows in rows_at(pieces, places)
    ]
    if not found:
        return Table.open(new, objects).schema.empty_table().select(view.keys)
    keys, whole = _key_columns(view)
    return sql(
        f"SELECT DISTINCT {keys} FROM this WHERE {whole}", this=Table(arrow=pa.concat_tables(found))
    ).to_arrow()


def features_schema(view: FeatureView, source: Table) -> pa.Schema:
    """Return the names and types of a view's features.

    Raises:
        FeatureViewError: the view does not fit the source.
    """
    expressions.refuse_missing(f"the source of {view.name}", source.columns, expressions.columns_needed(view))
    expressions.longest_age(view)
    times = ", ".join(expressions.microseconds(source.columns, name) for name in expressions.times_of(view))
    with connect(source=source) as connection:
        try:
            expressions.refuse_unusable(connection, view)
            rows = expressions.rows_that_count(view, "source")
            connection.sql(f"SELECT {times} FROM {rows} LIMIT 0").fetchall()
            shown = connection.sql(f"SELECT {expressions.shown_features(view)} FROM {rows} AS this LIMIT 0")
            return Table(arrow=shown.to_arrow_table()).schema
        except duckdb.Error as error:
            raise expressions.failed(error, view) from error


def form_of_view(view: FeatureView, source: Table) -> Form:
    """Return the names and types of a view's keys and features.

    Raises:
        FeatureViewError: a key cannot be looked up, or a feature cannot be kept.
    """
    keys = pa.schema([source.schema.field(key) for key in view.keys])
    return Form.of(view, keys, features_schema(view, source))


def online_rows(
    view: FeatureView, source: Table, keys: pa.Table, form: Form, *, horizon: datetime
) -> Iterator[KeyRows]:
    """Yield the rows of each key."""
    for start in range(0, keys.num_rows, _KEYS_AT_ONCE):
        yield from _some_rows(view, source, keys.slice(start, _KEYS_AT_ONCE), form, to_microseconds(horizon))


def _some_rows(
    view: FeatureView, source: Table, keys: pa.Table, form: Form, horizon: int
) -> Iterator[KeyRows]:
    moments = _moments(view, source, keys, horizon)
    with connect(entities=moments) as connection:
        try:
            matching = Matching(connection, moments, view, source, time=_AT)
            answers = matching.answers()
            features = matching.features_of(answers.places)
        except duckdb.Error as error:
            raise expressions.failed(error, view) from error
    texts = form.key_texts(moments.to_arrow())
    usable = [max(pair) for pair in zip(answers.happened.tolist(), answers.known.tolist(), strict=True)]
    rows = zip(
        texts,
        answers.places.tolist(),
        usable,
        answers.happened.tolist(),
        form.feature_rows(features),
        strict=True,
    )
    for key, group in groupby(rows, key=lambda row: row[0]):
        yield KeyRows(key, _encoded(list(group)))


def _moments(view: FeatureView, source: Table, keys: pa.Table, horizon: int) -> Table:
    """Return each key with the horizon and with the later moments at which a row of it can first be used, in order."""
    names, _ = _key_columns(view)
    times = ", ".join(expressions.microseconds(source.columns, name) for name in expressions.times_of(view))
    usable = f"greatest({times})"
    with connect(source=source, wanted=Table(arrow=keys)) as connection:
        try:
            later = (
                f"SELECT DISTINCT {names}, {usable} AS {_AT} FROM {expressions.rows_that_count(view, 'source')} "
                f"SEMI JOIN wanted USING ({names}) WHERE {usable} > {horizon}"
            )
            found = connection.sql(
                f"SELECT {names}, make_timestamp({_AT}) AS {_AT} FROM (SELECT {names}, {horizon} AS {_AT} FROM wanted "
                f"UNION ALL {later}) ORDER BY {names}, {_AT}"
            ).to_arrow_table()
        except duckdb.Error as error:
            raise expressions.failed(error, view) from error
    return Table(arrow=found)


def _encoded(answers: list[tuple[Any, ...]]) -> bytes:
    """Return what a key is stored as: its answers, ascending by their moments, each once."""
    rows, last = [], NOWHERE
    for _, place, usable, happened, values in answers:
        if place not in (NOWHERE, last):
            rows.append(OnlineRow(usable, happened, list(values)))
        last = place
    return encode_rows(rows) if rows else b""


def _key_columns(view: FeatureView) -> tuple[str, str]:
    """Return the list of keys, and the condition that none is missing."""
    return ", ".join(map(quote, view.keys)), " AND ".join(f"{quote(key)} IS NOT NULL" for key in view.keys)
