"""Frozen values of features. Tests: tests/unit/data/features."""

from __future__ import annotations

import msgspec


class FeatureView(msgspec.Struct, frozen=True, kw_only=True):
    """Columns of a dataset, or expressions over them, that describe a key at a time.

    Of the rows of a key that have happened and are known, the one with the latest event time counts; of these the one that
    became known last, a correction; of these the one whose hash over all its columns is the greatest, so that the order in
    which rows are stored never decides.

    Attributes:
        name: puts its features apart in a joined table: `weather__temp` when a name would come twice.
        source: the dataset, `weather` or `weather@v3`.
        keys: columns that name what is described; the entities have columns of the same names.
        features: for each feature a column of the source or an expression in SQL over the columns of one row.
        event_time: when the row's fact happened.
        known_time: when it became known; empty means when it happened. A row is used from the later of both on.
        where: only rows for which this condition in SQL is true count; empty for all.
        ttl: how long a row describes its key, `2d`; empty for ever.
    """

    name: str
    source: str
    keys: list[str]
    features: dict[str, str]
    event_time: str
    known_time: str = ""
    where: str = ""
    ttl: str = ""
