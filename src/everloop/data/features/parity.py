"""Whether online look-ups give what the join gives for training: the same keys at the same moments, side by side.

Tests: tests/unit/data/features/test_featuring.py, tests/property/test_online_features.py.
"""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from everloop.core.durations import parse_duration
from everloop.data.contents import UTC_TIME
from everloop.data.features.joining import join_features
from everloop.data.features.records import Mismatch
from everloop.data.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from everloop.data.features.records import FeatureView

# Moments at which keys are looked up: the first is the horizon.
_MOMENTS = 8
_DAY = timedelta(days=1)
_MOST_SHOWN = 100
_AT = "everloop_at"


def draw_moments(view: FeatureView, horizon: datetime, random: np.random.Generator) -> list[datetime]:
    """Return the horizon, and moments after it up to twice the ttl, or a day, later."""
    span = 2 * parse_duration(view.ttl) if view.ttl else _DAY
    return [horizon, *(horizon + span * float(share) for share in random.random(_MOMENTS - 1))]


def draw_keys(keys: pa.Table, count: int, random: np.random.Generator) -> pa.Table:
    """Return some of the keys, all when there are fewer."""
    if keys.num_rows <= count:
        return keys
    return keys.take(np.sort(random.choice(keys.num_rows, count, replace=False)))


def compare(
    view: FeatureView,
    source: Table,
    keys: pa.Table,
    moments: Sequence[datetime],
    look_up: Callable[[pa.Table, datetime], pa.Table],
) -> tuple[int, int, list[Mismatch]]:
    """Return how many pairs of key and moment were compared, in how many a feature differs, and which differ.

    Args:
        view: the definition.
        source: the rows the online ones were made of.
        keys: what to look up; each at one of the moments, in turn.
        moments: when.
        look_up: returns the online features of keys at a moment.
    """
    different, found = 0, list[Mismatch]()
    for number, moment in enumerate(moments):
        some = keys.take(np.arange(number, keys.num_rows, len(moments)))
        if not some.num_rows:
            continue
        asked = some.append_column(_AT, pa.array([moment] * some.num_rows, UTC_TIME))
        offline = join_features(Table(arrow=asked), [(view, source)], time=_AT).to_arrow()
        online = look_up(some, moment)
        faults = _faults(view, some, offline, online, moment)
        different += len({tuple(fault.key) for fault in faults})
        found += faults
    return keys.num_rows, different, found[:_MOST_SHOWN]


def _faults(
    view: FeatureView, keys: pa.Table, offline: pa.Table, online: pa.Table, moment: datetime
) -> list[Mismatch]:
    names = keys.to_pylist()
    # The features come last in both, in their order; a name of a key among them was told apart.
    first = offline.num_columns - len(view.features)
    faults = []
    for at, feature in enumerate(view.features):
        left = online.column(len(view.keys) + at).to_pylist()
        right = offline.column(first + at).to_pylist()
        faults += [
            Mismatch(
                key=[str(value) for value in key.values()],
                at=moment,
                feature=feature,
                online=repr(one),
                offline=repr(other),
            )
            for key, one, other in zip(names, left, right, strict=True)
            if not _is_same(one, other)
        ]
    return faults


def _is_same(one: Any, other: Any) -> bool:  # noqa: ANN401 - values of any feature
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return type(one) is type(other) and bool(one == other)
