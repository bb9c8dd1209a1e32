"""Counts of a column on frozen bins: any partition of rows, counted apart and added, gives the very same counts.

The layout of the counts of a number column with edges e0 < ... < em: below e0; exactly e0; (e0, e1]; ...; (em-1, em]; above
em; no value. NaN is no value. Bins are closed above, so that a column with few distinct values has one bin for each.
A category column: one count for each category; other values, when the list is open; no value. Values that a closed list
does not have are counted as unseen, apart. Laws: tests/property/test_monitoring.py; the rest tests/unit/monitoring/test_histograms.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from everloop.monitoring.records import Bins, ColumnReference, Counts

if TYPE_CHECKING:
    from everloop.monitoring.records import BinKind

FloatArray: TypeAlias = NDArray[np.float64]
BINS = 50
# More values than this are an identity, not a category: the rest is counted together.
CATEGORIES = 1_000


def reference_of(name: str, kind: BinKind, column: Any) -> ColumnReference:  # noqa: ANN401 - a pyarrow column
    """Freeze bins on a column and count it.

    Args:
        name: of the column.
        kind: how to bin it.
        column: pyarrow array or chunked array.
    """
    bins = number_bins(name, _numbers(column)) if kind == "number" else category_bins(name, column)
    return ColumnReference(bins=bins, counts=count(bins, column))


def number_bins(name: str, values: FloatArray) -> Bins:
    """Return bins whose edges are values of the sample: every distinct one when they are few, else its 2 % quantiles."""
    finite = np.sort(values[np.isfinite(values)])
    distinct = np.unique(finite)
    if distinct.size > BINS:
        ranks = (np.arange(BINS + 1) * finite.size + BINS - 1) // BINS
        distinct = np.unique(finite[np.maximum(ranks - 1, 0)])
    return Bins(name=name, kind="number", edges=distinct.tolist())


def category_bins(name: str, column: Any) -> Bins:  # noqa: ANN401 - a pyarrow column
    """Return bins for the most frequent values of the sample, ties in the order of the texts."""
    found = sorted(_value_counts(column).items(), key=lambda item: (-item[1], item[0]))
    kept = [value for value, _ in found[:CATEGORIES]]
    return Bins(name=name, kind="category", categories=kept, is_open=len(found) > CATEGORIES)


def count(bins: Bins, column: Any) -> Counts:  # noqa: ANN401 - a pyarrow column
    """Count a column's rows by bin.

    Args:
        bins: the frozen bins.
        column: pyarrow array or chunked array; numbers for number bins, anything for categories.
    """
    return (
        _count_numbers(bins, _numbers(column)) if bins.kind == "number" else _count_categories(bins, column)
    )


def add(left: Counts, right: Counts) -> Counts:
    """Return the counts of two parts of a sample together.

    Raises:
        ValueError: the parts were counted on different bins.
    """
    counts = [a + b for a, b in zip(left.counts, right.counts, strict=True)]
    return Counts(counts=counts, unseen=left.unseen + right.unseen)


def nothing(bins: Bins) -> Counts:
    """Return the counts of no rows."""
    return Counts(counts=[0] * (len(bins.edges) + 3 if bins.kind == "number" else len(bins.categories) + 2))


def _count_numbers(bins: Bins, values: FloatArray) -> Counts:
    edges = np.asarray(bins.edges, dtype=np.float64)
    empty = np.isnan(values)
    present = values[~empty]
    if not edges.size:
        return Counts(counts=[0, int(present.size), int(empty.sum())])
    place = np.searchsorted(edges, present, side="left") + 1
    place[present < edges[0]] = 0
    counted = np.bincount(place, minlength=edges.size + 2)
    return Counts(counts=[*counted.tolist(), int(empty.sum())])


def _count_categories(bins: Bins, column: Any) -> Counts:  # noqa: ANN401 - a pyarrow column
    found = _value_counts(column)
    known = [found.pop(value, 0) for value in bins.categories]
    rest = sum(found.values())
    other, unseen = (rest, 0) if bins.is_open else (0, rest)
    return Counts(counts=[*known, other, column.null_count], unseen=unseen)


def _numbers(column: Any) -> FloatArray:  # noqa: ANN401 - a pyarrow column
    if pa.types.is_null(column.type):
        return np.full(len(column), np.nan)
    floats = pc.fill_null(pc.cast(column, pa.float64(), safe=False), float("nan"))
    values: FloatArray = (
        floats.to_numpy(zero_copy_only=False) if isinstance(floats, pa.Array) else floats.to_numpy()
    )
    return values


def _value_counts(column: Any) -> dict[str, int]:  # noqa: ANN401 - a pyarrow column
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    counted = pc.value_counts(pc.drop_null(column))
    names = pc.cast(counted.field("values"), pa.string()).to_pylist()
    return dict(zip(names, counted.field("counts").to_pylist(), strict=True))
