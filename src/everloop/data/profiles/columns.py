"""What each kind of column adds up while its rows pass by.

One accumulator serves one column and one thread at a time; the rows come in order, in arrays of at most
65,536. Tests: tests/unit/data/test_statistics.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from everloop.data.profiles import distinct, frequencies, quantiles
from everloop.data.profiles.frequencies import Counts
from everloop.data.profiles.hashing import hash_array, mix
from everloop.data.profiles.moments import Moments, add_moments, moments_of
from everloop.data.profiles.statistics import ColumnStatistics, Lengths, add_lengths, pack_points

if TYPE_CHECKING:
    from everloop.data.profiles.hashing import HashArray
    from everloop.data.profiles.quantiles import Floats, Points
    from everloop.data.profiles.statistics import StatisticsKind
    from everloop.data.records import Column

_US_A_DAY = 86_400_000_000


class Accumulator(Protocol):
    """Adds up one column."""

    def add(self, array: Any) -> None:  # noqa: ANN401 - an Arrow array
        """Take in further rows."""
        ...

    def finish(self) -> ColumnStatistics:
        """Return the statistics of all rows so far."""
        ...


def accumulator_of(column: Column) -> Accumulator:
    """Return what adds up a column of this type."""
    kind = statistics_kind(column.type)
    return _ACCUMULATORS[kind](column, kind)


def statistics_kind(kind: str) -> StatisticsKind:
    """Return how columns of an Arrow type are described."""
    if kind.startswith(("int", "uint", "float", "double", "decimal", "halffloat")):
        return "number"
    if kind.startswith(("timestamp", "date")):
        return "time"
    if kind == "bool":
        return "boolean"
    return "text" if kind in ("string", "large_string", "string_view") else "other"


class _Rows:
    """Rows, nulls and different values: what every kind counts."""

    def __init__(self, column: Column, kind: StatisticsKind) -> None:
        self._column, self._kind = column, kind
        self._rows = self._nulls = 0
        self._registers = distinct.no_registers()

    def add(self, array: Any) -> None:  # noqa: ANN401
        self._rows += len(array)
        self._nulls += array.null_count
        present = array.drop_null() if array.null_count else array
        if len(present):
            self._add_present(present)

    def _add_present(self, present: Any) -> None:  # noqa: ANN401
        distinct.observe(self._registers, hash_array(present))

    def finish(self) -> ColumnStatistics:
        return ColumnStatistics(
            name=self._column.name,
            type=self._column.type,
            kind=self._kind,
            rows=self._rows,
            nulls=self._nulls,
            registers=self._registers.tobytes() if self._kind != "boolean" else b"",
            **self._figures(),
        )

    def _figures(self) -> dict[str, Any]:
        return {}


class _Numbers(_Rows):
    def __init__(self, column: Column, kind: StatisticsKind) -> None:
        super().__init__(column, kind)
        self._is_integer = "int" in column.type
        self._nans = self._infinities = 0
        self._range: tuple[float, float] | None = None
        self._moments = Moments()
        self._levels = quantiles.Levels()

    def _add_present(self, present: Any) -> None:  # noqa: ANN401
        finite = self._finite(np.sort(_floats(present)))
        if not finite.size:
            return
        points = quantiles.points_of(finite)
        distinct.observe(self._registers, self._hashes(present, finite, points))
        low, high = float(finite[0]), float(finite[-1])
        self._range = (min(low, self._range[0]), max(high, self._range[1])) if self._range else (low, high)
        self._moments = add_moments([self._moments, moments_of(finite)])
        self._levels.add(points)

    def _hashes(self, present: Any, finite: Floats, points: Points) -> HashArray:  # noqa: ANN401
        """Return hashes of the different values, or of all when these are many."""
        values = finite if points.error else points.values
        if not self._is_integer:
            return mix((values + 0.0).view(np.uint64))
        if not points.error and max(abs(values[0]), abs(values[-1])) <= quantiles.EXACT:
            return mix(values.astype(np.int64).view(np.uint64))
        return hash_array(present)

    def _finite(self, ordered: Floats) -> Floats:
        """Return the finite middle: an ascending array has its infinities at both ends and what is no number last."""
        if np.isfinite(ordered[0]) and np.isfinite(ordered[-1]):
            return ordered
        low, high, end = np.searchsorted(ordered, [-np.finfo(np.float64).max, np.inf, np.nan])
        self._nans += int(ordered.size - end)
        self._infinities += int(low + end - high)
        return ordered[low:high]

    def _figures(self) -> dict[str, Any]:
        minimum, maximum = self._range or (None, None)
        return {
            "nans": self._nans,
            "infinities": self._infinities,
            "minimum": minimum,
            "maximum": maximum,
            "moments": self._moments,
            **pack_points(self._levels.finish()),
        }


class _Texts(_Rows):
    def __init__(self, column: Column, kind: StatisticsKind) -> None:
        super().__init__(column, kind)
        self._counts = Counts({})
        self._lengths: Lengths | None = None

    def _add_present(self, present: Any) -> None:  # noqa: ANN401
        if not pa.types.is_string(present.type):
            present = present.cast(pa.string())
        added = self._add_few(present) if not self._counts.error else self._add_many(present)
        self._counts = frequencies.add_counts([self._counts, added])

    def _add_few(self, present: Any) -> Counts:  # noqa: ANN401
        counted = pc.value_counts(present)
        values, counts = counted.field("values"), counted.field("counts")
        distinct.observe(self._registers, hash_array(values))
        self._measure(pc.utf8_length(values), counts.to_numpy())
        return frequencies.count_distinct_texts(values, counts)

    def _add_many(self, present: Any) -> Counts:  # noqa: ANN401
        hashes = hash_array(present)
        distinct.observe(self._registers, hashes)
        self._measure(pc.utf8_length(present), None)
        return frequencies.count_frequent_texts(present, hashes)

    def _measure(self, lengths: Any, counts: Any) -> None:  # noqa: ANN401
        numbers = lengths.to_numpy().astype(np.int64)
        total = int(numbers.sum() if counts is None else (numbers * counts).sum())
        self._lengths = add_lengths([self._lengths, Lengths(int(numbers.min()), int(numbers.max()), total)])

    def _figures(self) -> dict[str, Any]:
        return {"counts": self._counts, "lengths": self._lengths}


class _Times(_Rows):
    def __init__(self, column: Column, kind: StatisticsKind) -> None:
        super().__init__(column, kind)
        self._range: tuple[int, int] | None = None

    def _add_present(self, present: Any) -> None:  # noqa: ANN401
        microseconds = _microseconds(present)
        distinct.observe(self._registers, mix(microseconds.view(np.uint64)))
        low, high = int(microseconds.min()), int(microseconds.max())
        self._range = (min(low, self._range[0]), max(high, self._range[1])) if self._range else (low, high)

    def _figures(self) -> dict[str, Any]:
        earliest, latest = self._range or (None, None)
        return {"earliest_us": earliest, "latest_us": latest}


class _Booleans(_Rows):
    def __init__(self, column: Column, kind: StatisticsKind) -> None:
        super().__init__(column, kind)
        self._true = 0

    def _add_present(self, present: Any) -> None:  # noqa: ANN401
        self._true += present.true_count

    def _figures(self) -> dict[str, Any]:
        both = {"true": self._true, "false": self._rows - self._nulls - self._true}
        return {"counts": Counts({name: count for name, count in both.items() if count})}


_ACCUMULATORS: dict[StatisticsKind, type[_Rows]] = {
    "number": _Numbers,
    "text": _Texts,
    "time": _Times,
    "boolean": _Booleans,
    "other": _Rows,
}


def _floats(array: Any) -> Floats:  # noqa: ANN401
    if pa.types.is_decimal(array.type):
        array = array.cast(pa.float64())
    return np.asarray(array.to_numpy(zero_copy_only=False), dtype=np.float64)


def _microseconds(array: Any) -> Any:  # noqa: ANN401
    if pa.types.is_date(array.type):
        days = array.cast(pa.date32()).view(pa.int32()).to_numpy()
        return days.astype(np.int64) * _US_A_DAY
    zone = array.type.tz
    return np.ascontiguousarray(
        array.cast(pa.timestamp("us", tz=zone), safe=False).view(pa.int64()).to_numpy()
    )
