"""How far a window's inputs are from the reference, and whether that is more than harmless.

The distance is Jensen-Shannon's on the frozen bins. Scaled, its square follows a noncentral chi-square law, so the test asks
whether the true distance is beyond `delta`; asking whether it differs from zero alarms on every large window, and fixed
limits alarm on every small one with many categories. Rare bins are pooled first: without it the law does not hold. Rows
are taken as independent; a window whose rows share causes (an hour's weather) has fewer independent ones, which is one
more reason why drift annotates and never pages. Tests: tests/unit/monitoring/test_drift.py.
"""

from __future__ import annotations

from math import log, sqrt
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from everloop.monitoring.chi_square import upper_tail
from everloop.monitoring.records import ColumnDrift

if TYPE_CHECKING:
    from collections.abc import Sequence

    from everloop.monitoring.histograms import FloatArray
    from everloop.monitoring.records import Bins, ColumnReference, Counts, DriftVerdict

FALSE_DISCOVERY = 0.05
_LEAST_EXPECTED = 5.0
_ROWS_A_BIN = 10
_FEWEST_BINS = 2


def compare_columns(
    references: Sequence[ColumnReference], current: Sequence[Counts], *, delta: float
) -> list[ColumnDrift]:
    """Compare every column, with the false discovery rate held at 5 % over all of them.

    Args:
        references: k columns of the reference.
        current: the window's counts of the same columns on the same bins.
        delta: the Jensen-Shannon distance up to which a shift is harmless.
    """
    columns = [
        compare_column(reference.bins, reference.counts, counts, delta=delta)
        for reference, counts in zip(references, current, strict=True)
    ]
    limit = discovery_limit([column.p_value for column in columns if column.p_value is not None])
    return [
        msgspec.structs.replace(column, verdict="drift" if column.p_value <= limit else "none")
        if column.p_value is not None
        else column
        for column in columns
    ]


def overall(columns: Sequence[ColumnDrift]) -> DriftVerdict:
    """Return `drift` when any column drifted, `insufficient` when none could be judged."""
    verdicts = {column.verdict for column in columns}
    if "drift" in verdicts:
        return "drift"
    return "none" if "none" in verdicts else "insufficient"


def compare_column(bins: Bins, reference: Counts, current: Counts, *, delta: float) -> ColumnDrift:
    """Return one column's distances and p-value; the verdict is `insufficient` or, until all columns are known, `none`."""
    told = _quality(bins, reference, current)
    old, new = (np.asarray(counts.counts, dtype=np.float64) for counts in (reference, current))
    if not old.sum() or not new.sum():
        return told
    old_pooled, new_pooled = pooled(old, new)
    told = msgspec.structs.replace(
        told,
        bins=old_pooled.size,
        distance=js_distance(old_pooled, new_pooled),
        psi=stability_index(old_pooled, new_pooled),
    )
    if bins.kind == "number" and bins.edges:
        ks, wasserstein = _ordered_distances(bins, old[:-1], new[:-1])
        told = msgspec.structs.replace(told, ks=ks, wasserstein=wasserstein)
    is_all_rare = old_pooled.size < _FEWEST_BINS and np.count_nonzero(old + new) >= _FEWEST_BINS
    if is_all_rare or min(old.sum(), new.sum()) < _ROWS_A_BIN * old_pooled.size:
        return told
    return msgspec.structs.replace(told, verdict="none", p_value=p_value(old_pooled, new_pooled, delta=delta))


def pooled(reference: FloatArray, current: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return both counts with the rare bins as one: those expected to hold fewer than 5 rows of the smaller sample.

    Expected from both samples together: given the sums of the bins, which sample a row is in is left to chance. Choosing by
    the reference alone would keep the bins it has too many rows in, and alarm on clean windows. When the pool itself is
    expected to hold fewer than 5 and is not empty, it takes in the rarest bin that is left.
    """
    both = reference + current
    expected = both * (min(reference.sum(), current.sum()) / both.sum())
    order = np.argsort(-expected, kind="stable")
    kept = int((expected >= _LEAST_EXPECTED).sum())
    is_empty = not both[order[kept:]].sum()
    if not is_empty and expected[order[kept:]].sum() < _LEAST_EXPECTED:
        kept = max(0, kept - 1)
    rare = order[kept:]
    parts = [(counts[order[:kept]], counts[rare].sum()) for counts in (reference, current)]
    if is_empty:
        return parts[0][0], parts[1][0]
    left, right = (np.append(shares, rest) for shares, rest in parts)
    return left, right


def js_distance(reference: FloatArray, current: FloatArray) -> float:
    """Return the square root of the Jensen-Shannon divergence in bits, between 0 and 1.

    Args:
        reference: k counts or shares, not all zero.
        current: k counts or shares, not all zero.
    """
    p, q = reference / reference.sum(), current / current.sum()
    middle = (p + q) / 2
    return sqrt(min(1.0, max(0.0, (_divergence(p, middle) + _divergence(q, middle)) / 2)))


def _divergence(p: FloatArray, q: FloatArray) -> float:
    seen = p > 0
    return float((p[seen] * np.log2(p[seen] / q[seen])).sum())


def stability_index(reference: FloatArray, current: FloatArray) -> float:
    """Return the population stability index; an empty bin counts as half a row.

    Its expectation without any shift is about (bins - 1) * (1/n + 1/m): Yurdakul and Naranjo (2020).
    """
    old, new = np.maximum(reference, 0.5), np.maximum(current, 0.5)
    p, q = old / old.sum(), new / new.sum()
    return float(((q - p) * np.log(q / p)).sum())


def p_value(reference: FloatArray, current: FloatArray, *, delta: float) -> float:
    """Return the chance of a distance this large or larger when the true distance is `delta`.

    8 ln 2 * n m / (n + m) times the squared distance is close to noncentral chi-square, with one degree of freedom less
    than bins and the same multiple of delta^2 as its noncentrality.
    """
    if reference.size < _FEWEST_BINS:
        return 1.0
    n, m = reference.sum(), current.sum()
    scale = 8 * log(2) * n * m / (n + m)
    squared = js_distance(reference, current) ** 2
    return upper_tail(scale * squared, freedom=reference.size - 1, noncentrality=scale * delta**2)


def discovery_limit(p_values: Sequence[float], *, rate: float = FALSE_DISCOVERY) -> float:
    """Return the largest p-value that is a discovery at this rate; -1 when none is.

    Source: Benjamini and Hochberg, Controlling the False Discovery Rate (1995).
    """
    ordered = sorted(p_values)
    passing = [p for rank, p in enumerate(ordered, start=1) if p <= rate * rank / len(ordered)]
    return passing[-1] if passing else -1.0


def _ordered_distances(
    bins: Bins, reference: FloatArray, current: FloatArray
) -> tuple[float | None, float | None]:
    if not reference.sum() or not current.sum():
        return None, None
    old, new = np.cumsum(reference / reference.sum()), np.cumsum(current / current.sum())
    gap = np.abs(new - old)
    edges = np.asarray(bins.edges)
    # A bin's rows count as lying at its upper edge, which is exact for columns with few values; those beyond, at the ends.
    distance = float((gap[1:-2] * np.diff(edges)).sum()) if edges.size > 1 else 0.0
    points = np.concatenate([[edges[0]], edges, [edges[-1]]])
    shares = reference / reference.sum()
    mean = float(shares @ points)
    deviation = sqrt(float(shares @ (points - mean) ** 2))
    return float(gap.max()), distance / deviation if deviation else None


def _quality(bins: Bins, reference: Counts, current: Counts) -> ColumnDrift:
    rows, values = current.rows, current.rows - current.counts[-1]
    outside = current.counts[0] + current.counts[-2] if bins.kind == "number" else 0
    return ColumnDrift(
        name=bins.name,
        kind=bins.kind,
        rows=rows,
        bins=len(current.counts),
        verdict="insufficient",
        null_share=current.counts[-1] / rows if rows else 0.0,
        reference_null_share=reference.counts[-1] / reference.rows if reference.rows else 0.0,
        out_of_range_share=outside / values if values else 0.0,
        unseen_share=current.unseen / values
        if values and bins.kind == "category" and not bins.is_open
        else None,
    )
