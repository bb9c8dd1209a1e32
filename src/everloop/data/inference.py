"""Suggest a suite from profiles: what a version says of its columns, and bounds that its history taught.

Only profiles are read, no rows. The suite passes on the version that it was inferred from: every bound is widened to hold that
version's own figure. Bounds from history are median +- 5 * 1.4826 * MAD of the figure over versions, MAD being the median
absolute deviation, which a few odd versions do not move (Leys et al., Detecting outliers: do not use standard deviation
around the mean, use absolute deviation around the median, 2013). The factor 5 is what a 99 % prediction interval asks of
five normal values (t = 4.60 on 4 degrees of freedom, times sqrt(1 + 1/5)); fewer versions teach nothing. Tests:
tests/unit/data/test_inference.py, tests/property/test_inference.py.
"""

from __future__ import annotations

import math
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from everloop.data import checks as make
from everloop.data.records import Suite

if TYPE_CHECKING:
    from collections.abc import Sequence

    from everloop.data.records import Check, ColumnProfile, Profile

LEAST_VERSIONS = 5
_FACTOR = 5.0
_NORMAL = 1.4826
# A range is widened by this share of itself on either side.
_MARGIN = 0.1
# A category is one when each of its values came so often on average.
_TIMES_A_VALUE = 10
# Values that are all different among fewer rows are so by chance.
_LEAST_UNIQUE = 50
# Whole numbers are exact in a float up to here.
_EXACT = 2.0**53
_EDGES = 51
_LEVELS = (0.1, 0.5, 0.9)


def infer_suite(name: str, profiles: Sequence[Profile], *, keys: Sequence[str] = ()) -> Suite:
    """Return the suite that a version suggests.

    Types, keys and columns that never missed a value get severity `fail`, all that is estimated `warn`.

    Args:
        name: of the suite.
        profiles: of the version, then of those before it, newest first.
        keys: columns that name a row.
    """
    profile = profiles[0]
    checks = [make.has_columns(*(column.name for column in profile.columns))]
    rows = [float(found.rows) for found in profiles]
    checks += _row_count(rows)
    if keys:
        checks.append(make.unique(*keys))
    for column in profile.columns:
        past = [found for one in profiles if (found := _same(one, column)) is not None]
        checks += _column(column, past, is_key=[column.name] == list(keys))
    return Suite(name, checks)


def learned(
    values: Sequence[float], *, floor: float = 0.0, factor: float = _FACTOR
) -> tuple[float, float] | None:
    """Return the bounds that a figure's history teaches, None when there is too little of it.

    Args:
        values: of the figure, the newest first; the bounds hold it.
        floor: the least half width, for what chance alone moves.
        factor: how many robust standard deviations.
    """
    if len(values) < LEAST_VERSIONS or not all(map(math.isfinite, values)):
        return None
    middle = median(values)
    spread = _NORMAL * median(abs(value - middle) for value in values)
    half = max(factor * spread, floor, 1e-6 * abs(middle))
    slack = 1e-6 * abs(values[0])
    return min(middle - half, values[0] - slack), max(middle + half, values[0] + slack)


def _same(profile: Profile, column: ColumnProfile) -> ColumnProfile | None:
    return next((one for one in profile.columns if one.name == column.name and one.type == column.type), None)


def _row_count(rows: Sequence[float]) -> list[Check]:
    bounds = learned(rows, floor=_MARGIN * rows[0])
    if bounds is None:
        return [make.row_count(min=1)] if rows[0] else []
    is_growing = all(new >= old for new, old in pairwise(rows)) and rows[0] > rows[-1]
    low = max(1, math.floor(bounds[0]))
    return [make.row_count(min=low, max=None if is_growing else math.ceil(bounds[1]), severity="warn")]


def _column(column: ColumnProfile, past: Sequence[ColumnProfile], *, is_key: bool) -> list[Check]:
    checks = [make.of_type(column.name, column.type), *_nulls(column, past)]
    if column.kind == "number":
        checks += _numbers(column, past)
    elif column.kind in ("category", "text"):
        checks += _texts(column, past)
    elif column.kind == "time":
        checks += _times(column)
    if not is_key and _is_unique(column):
        checks.append(make.unique(column.name, severity="warn"))
    return checks


def _missing_share(column: ColumnProfile) -> float:
    return (column.nulls + column.nans) / max(column.rows, 1)


def _nulls(column: ColumnProfile, past: Sequence[ColumnProfile]) -> list[Check]:
    if not column.rows:
        return []
    shares = [_missing_share(one) for one in past]
    if not any(shares):
        return [make.not_null(column.name)]
    chance = _FACTOR * math.sqrt(max(shares[0] * (1 - shares[0]), 1 / column.rows) / column.rows)
    bounds = learned(shares, floor=chance)
    high = bounds[1] if bounds else max(*shares, shares[0] + max(chance, _MARGIN * shares[0]))
    return [make.null_share(column.name, _up(high), severity="warn")] if high < 1 else []


def _numbers(column: ColumnProfile, past: Sequence[ColumnProfile]) -> list[Check]:
    if column.minimum is None or column.maximum is None or column.infinities:
        return []
    known = [one for one in past if one.minimum is not None and one.maximum is not None]
    checks = [] if column.nans else [_range(column, known)]
    if column.mean is not None and all(one.mean is not None for one in known):
        count = max(column.rows - column.nulls - column.nans, 1)
        floor = _FACTOR * (column.std or 0.0) / math.sqrt(count)
        bounds = learned([one.mean or 0.0 for one in known], floor=floor)
        if bounds:
            checks.append(make.mean(column.name, *bounds, severity="warn"))
        checks += _quantiles(column, known, floor)
    return checks


def _range(column: ColumnProfile, past: Sequence[ColumnProfile]) -> Check:
    low = min(one.minimum or 0.0 for one in past)
    high = max(one.maximum or 0.0 for one in past)
    margin = max(_MARGIN * (high - low), 1e-9 * max(abs(low), abs(high)))
    wide_low = max(0.0, low - margin) if low >= 0 else low - margin
    wide_high = min(0.0, high + margin) if high <= 0 else high + margin
    if "int" in column.type and max(abs(wide_low), abs(wide_high)) < _EXACT:
        return make.between(column.name, math.floor(wide_low), math.ceil(wide_high), severity="warn")
    open_low, open_high = (bound if math.isfinite(bound) else None for bound in (wide_low, wide_high))
    return make.between(column.name, open_low, open_high if open_high is not None else high, severity="warn")


def _quantiles(column: ColumnProfile, past: Sequence[ColumnProfile], floor: float) -> list[Check]:
    """Return bounds of quantiles where every profile kept all its edges, so that an edge's level is known."""
    if any(len(one.edges) != _EDGES for one in past):
        return []
    checks = []
    for level in _LEVELS:
        place = round(level * (_EDGES - 1))
        # What a profile keeps of a quantile lies within its error, so within the neighbouring edges.
        reach = max(1, math.ceil(column.quantile_error * (_EDGES - 1)))
        around = column.edges[max(0, place - reach)], column.edges[min(_EDGES - 1, place + reach)]
        bounds = learned([one.edges[place] for one in past], floor=floor)
        if bounds:
            low, high = min(bounds[0], around[0]), max(bounds[1], around[1])
            checks.append(make.quantile(column.name, level, low, high, severity="warn"))
    return checks


def _texts(column: ColumnProfile, past: Sequence[ColumnProfile]) -> list[Check]:
    checks = []
    is_set = column.kind == "category" and not column.top_error and len(column.top) == column.distinct
    if is_set and column.top and column.distinct * _TIMES_A_VALUE <= column.rows - column.nulls:
        earlier = {item.value for one in past if one.kind == "category" for item in one.top}
        checks.append(
            make.in_set(column.name, sorted(earlier | {item.value for item in column.top}), severity="warn")
        )
    elif column.longest is not None and column.shortest is not None:
        longest = max(one.longest or 0 for one in past)
        high = longest + math.ceil(longest * _MARGIN)
        checks.append(make.length(column.name, min(1, column.shortest), max(high, 1), severity="warn"))
    return checks


def _times(column: ColumnProfile) -> list[Check]:
    if column.earliest is None or column.latest is None:
        return []
    try:
        low = column.earliest - _MARGIN * (column.latest - column.earliest)
    except OverflowError:
        return []
    # Times go on, so the upper side stays open.
    bound = low.date() if column.type.startswith("date") else low
    return [make.between(column.name, bound, None, severity="warn")]


def _is_unique(column: ColumnProfile) -> bool:
    """Return whether the profile knows for certain that all values differ."""
    present = column.rows - column.nulls
    if column.distinct != present or present < _LEAST_UNIQUE:
        return False
    if column.kind == "category":
        return not column.top_error
    if column.kind != "number" or "int" not in column.type or column.quantile_error:
        return False
    return max(abs(column.minimum or 0), abs(column.maximum or 0)) < _EXACT


def _up(share: float) -> float:
    """Return a share rounded up to what people read, and never below itself."""
    return min(1.0, max(share, math.ceil(share * 1e4 - 1e-6) / 1e4))
