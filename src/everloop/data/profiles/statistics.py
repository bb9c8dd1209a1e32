"""What one scan of a part leaves behind, and how parts add up to a version.

Statistics are stored with the part as one small object, so that a version costs the scan of its new parts only.
`_FORMAT` counts up whenever a figure is computed in another way; older statistics are then refused and taken
again. Laws: tests/property/test_statistics.py; the rest: tests/unit/data/test_statistics.py.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np

from everloop.core.errors import ConflictError, InvalidInputError
from everloop.data.profiles import distinct, quantiles
from everloop.data.profiles.frequencies import Counts, add_counts
from everloop.data.profiles.moments import Moments, add_moments
from everloop.data.profiles.quantiles import Points

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_FORMAT = 1

StatisticsKind = Literal["number", "text", "time", "boolean", "other"]


class OutdatedStatisticsError(ConflictError):
    """Stored statistics were taken by another release in another way."""

    code = "data.outdated-statistics"


class StatisticsMismatchError(InvalidInputError):
    """Parts with different columns have no common statistics."""

    code = "data.statistics-mismatch"


class Lengths(msgspec.Struct, frozen=True, array_like=True):
    """Characters of texts: of the shortest, of the longest, of all."""

    shortest: int
    longest: int
    total: int


class ColumnStatistics(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Mergeable statistics of one column.

    Attributes:
        registers: of the HyperLogLog sketch of its different values; empty for booleans.
        minimum, maximum: of finite numbers, or microseconds since 1970 of times.
        points, weights, quantile_error: `Points` of a number column, as little-endian bytes.
        counts: of texts, and of the booleans `true` and `false`.
    """

    name: str
    type: str
    kind: StatisticsKind
    rows: int
    nulls: int
    nans: int = 0
    infinities: int = 0
    registers: bytes = b""
    minimum: float | None = None
    maximum: float | None = None
    earliest_us: int | None = None
    latest_us: int | None = None
    moments: Moments = Moments()
    points: bytes = b""
    weights: bytes = b""
    quantile_error: int = 0
    counts: Counts = Counts({})
    lengths: Lengths | None = None

    def quantile_points(self) -> Points:
        """Return the points of a number column."""
        return Points(
            np.frombuffer(self.points, dtype="<f8"),
            np.frombuffer(self.weights, dtype="<i8"),
            self.quantile_error,
        )


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """Mergeable statistics of the rows of a part, or of several."""

    rows: int
    columns: list[ColumnStatistics]
    format: int = _FORMAT


def encode_statistics(statistics: Statistics) -> bytes:
    """Return the content of an object; about 5 kB a number column, 3 kB another."""
    return zlib.compress(msgspec.msgpack.encode(statistics), 6)


def decode_statistics(content: bytes) -> Statistics:
    """Return the statistics an object holds.

    Raises:
        OutdatedStatisticsError: they cannot be merged with those of this release; take them again.
    """
    try:
        plain = zlib.decompress(content)
        number = msgspec.msgpack.decode(plain, type=_Header).format
        if number == _FORMAT:
            return msgspec.msgpack.decode(plain, type=Statistics)
    except (zlib.error, msgspec.DecodeError) as error:
        raise OutdatedStatisticsError(
            f"stored statistics cannot be read: {error}. Scan the part again."
        ) from error
    raise OutdatedStatisticsError(
        f"stored statistics are of form {number}, this release merges form {_FORMAT}. Scan the part again."
    )


class _Header(msgspec.Struct):
    format: int = _FORMAT


def merge_statistics(parts: Sequence[Statistics]) -> Statistics:
    """Return the statistics of parts with the same columns together.

    Counts, ranges and registers do not depend on order or grouping; means do by rounding only, quantiles and
    counts of many values within the errors they state.

    Raises:
        StatisticsMismatchError: there are no parts, or their columns differ.
    """
    if not parts:
        raise StatisticsMismatchError("there are no statistics to merge. Give at least one part's.")
    named = [(column.name, column.kind) for column in parts[0].columns]
    if any([(column.name, column.kind) for column in part.columns] != named for part in parts):
        raise StatisticsMismatchError(
            "parts with different columns cannot be merged. Scan the rows of the version instead.",
            details={"columns": [[column.name for column in part.columns] for part in parts][:10]},
        )
    if len(parts) == 1:
        return parts[0]
    columns = zip(*(part.columns for part in parts), strict=True)
    return Statistics(
        rows=sum(part.rows for part in parts), columns=[_merge_column(column) for column in columns]
    )


def pack_points(points: Points) -> dict[str, bytes | int]:
    """Return the fields of `ColumnStatistics` that hold points."""
    return {
        "points": points.values.astype("<f8").tobytes(),
        "weights": points.weights.astype("<i8").tobytes(),
        "quantile_error": points.error,
    }


def _merge_column(parts: Sequence[ColumnStatistics]) -> ColumnStatistics:
    first = parts[0]
    merged: dict[str, object] = {
        "rows": sum(part.rows for part in parts),
        "nulls": sum(part.nulls for part in parts),
        "registers": _merge_registers([part.registers for part in parts if part.registers]),
    }
    if first.kind == "number":
        merged |= _merge_numbers(parts)
    elif first.kind == "time":
        merged["earliest_us"] = min(_present(part.earliest_us for part in parts), default=None)
        merged["latest_us"] = max(_present(part.latest_us for part in parts), default=None)
    elif first.kind in ("text", "boolean"):
        merged["counts"] = add_counts([part.counts for part in parts])
        merged["lengths"] = add_lengths(part.lengths for part in parts)
    return msgspec.structs.replace(first, **merged)


def _merge_numbers(parts: Sequence[ColumnStatistics]) -> dict[str, object]:
    return {
        "nans": sum(part.nans for part in parts),
        "infinities": sum(part.infinities for part in parts),
        "minimum": min(_present(part.minimum for part in parts), default=None),
        "maximum": max(_present(part.maximum for part in parts), default=None),
        "moments": add_moments(part.moments for part in parts),
        **pack_points(quantiles.merge([part.quantile_points() for part in parts])),
    }


def _merge_registers(parts: Sequence[bytes]) -> bytes:
    together = distinct.no_registers()
    for part in parts:
        np.maximum(together, np.frombuffer(part, dtype=np.uint8), out=together)
    return together.tobytes() if parts else b""


def add_lengths(parts: Iterable[Lengths | None]) -> Lengths | None:
    """Return the lengths of parts together."""
    present = [part for part in parts if part is not None]
    if not present:
        return None
    return Lengths(
        min(part.shortest for part in present),
        max(part.longest for part in present),
        sum(part.total for part in present),
    )


def _present(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]
