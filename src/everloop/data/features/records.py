"""Frozen values of features. Tests: tests/unit/data/features."""

from __future__ import annotations

from datetime import datetime
from typing import Any

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


class SavedView(msgspec.Struct, frozen=True, kw_only=True):
    """One immutable version of a view's definition.

    Attributes:
        is_unchanged: a save found this very definition as the latest version and made no new one.
    """

    name: str
    version: int
    definition: FeatureView
    created_at: datetime
    created_by: str
    is_unchanged: bool = False

    @property
    def ref(self) -> str:
        """Return `weather@v2`."""
        return f"{self.name}@v{self.version}"


class Materialized(msgspec.Struct, frozen=True, kw_only=True):
    """What the online rows of a view are made of.

    Attributes:
        source: the dataset version they are those of.
        horizon: from this moment on a look-up is exact; rows that were replaced before it are gone.
        keys: how many keys have rows; changed: how many were computed by this call.
        is_unchanged: the rows were those of this version already.
    """

    view: str
    source: str
    horizon: datetime
    keys: int
    changed: int = 0
    is_unchanged: bool = False


class OnlineRows(msgspec.Struct, frozen=True, kw_only=True):
    """The features of keys at a moment, in the order of the keys.

    Attributes:
        form: names and types of keys and features, as an Arrow schema.
        rows: the features of each key, None for a key without a row that is known and has not outlived its ttl.
    """

    view: str
    source: str
    at: datetime
    form: bytes
    rows: list[list[Any] | None]


class Mismatch(msgspec.Struct, frozen=True, kw_only=True):
    """A feature of a key that is not the same online and in the join; values as text."""

    key: list[str]
    at: datetime
    feature: str
    online: str
    offline: str


class ParityCheck(msgspec.Struct, frozen=True, kw_only=True):
    """Online rows beside the point-in-time join at the same moments.

    Attributes:
        compared: how many pairs of key and moment; different: in how many of them a feature differs.
        mismatches: the features that do, at most a hundred.
    """

    id: str
    view: str
    source: str
    created_at: datetime
    compared: int
    different: int
    mismatches: list[Mismatch]

    @property
    def is_same(self) -> bool:
        """Return whether nothing differs."""
        return not self.different
