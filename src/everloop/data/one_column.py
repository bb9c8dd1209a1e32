"""How well one column alone predicts a target, on rows it was not fitted on.

A column is cut into at most 32 bins of about equal size, texts into their values; the prediction for a row is the mean target
of its bin over the other folds, drawn towards the mean of all by one row. An identity scores no better than chance, for
its values never come back. Tests: tests/unit/data/test_training_checks.py.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
FOLDS = 5
_BINS = 32
# A number with more different values than this is a quantity, fewer make classes.
MOST_CLASSES = 20


class Target(NamedTuple):
    """A target: class numbers and names for classification, values without names for regression."""

    values: Floats
    classes: list[str]

    @property
    def is_classes(self) -> bool:
        """Return whether the target is one of a few classes."""
        return bool(self.classes)


def target_of(column: Any) -> Target:  # noqa: ANN401 - an Arrow array without missing values
    """Return a column as a target."""
    is_number = (
        pa.types.is_floating(column.type)
        or pa.types.is_integer(column.type)
        or pa.types.is_decimal(column.type)
    )
    different = pc.unique(column)
    if is_number and len(different) > MOST_CLASSES:
        return Target(_floats(column), [])
    names = sorted(different.to_pylist(), key=lambda value: (str(type(value)), value))
    place = {value: at for at, value in enumerate(names)}
    return Target(
        np.array([place[value] for value in column.to_pylist()], float), [str(name) for name in names]
    )


def codes_of(column: Any) -> Ints:  # noqa: ANN401 - an Arrow array
    """Return the bin of each row; rows without a value are in the last."""
    kind = column.type
    if pa.types.is_temporal(kind) and not pa.types.is_duration(kind):
        column = pc.cast(pc.cast(column, pa.timestamp("us"), safe=False), pa.int64())
    if pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    if (
        pa.types.is_floating(column.type)
        or pa.types.is_integer(column.type)
        or pa.types.is_decimal(column.type)
    ):
        return _number_codes(_floats(column))
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        column = pa.array(
            [None if value is None else repr(value) for value in column.to_pylist()], pa.string()
        )
    encoded = column.dictionary_encode()
    last = len(encoded.dictionary)
    return np.asarray(pc.fill_null(pc.cast(encoded.indices, pa.int64()), last).to_numpy(zero_copy_only=False))


def folds_of(rows: int, seed: int) -> Ints:
    """Return the fold of each row, of about equal size."""
    return np.random.default_rng(seed).permutation(rows) % FOLDS


def skill(codes: Ints, target: Target, folds: Ints) -> float:
    """Return AUC, of several classes the mean of each against the rest by their shares, or R squared."""
    if not target.is_classes:
        predicted = _out_of_fold(codes, target.values, folds)
        spread = float(((target.values - target.values.mean()) ** 2).sum())
        return 1 - float(((target.values - predicted) ** 2).sum()) / spread if spread else 0.0
    found, shares = [], []
    for number in range(len(target.classes)):
        is_it = (target.values == number).astype(float)
        if 0 < is_it.sum() < is_it.size:
            found.append(auc(_out_of_fold(codes, is_it, folds), is_it > 0))
            shares.append(is_it.mean())
    return float(np.average(found, weights=shares)) if found else 0.5


def auc(scores: Floats, is_positive: NDArray[np.bool_]) -> float:
    """Return the chance that a positive has a higher score than a negative, ties counting half."""
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    positives = int(is_positive.sum())
    negatives = is_positive.size - positives
    return float((ranks[is_positive].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def _out_of_fold(codes: Ints, values: Floats, folds: Ints) -> Floats:
    bins = int(codes.max(initial=0)) + 1
    place = folds * bins + codes
    sums = np.bincount(place, values, FOLDS * bins).reshape(FOLDS, bins)
    counts = np.bincount(place, minlength=FOLDS * bins).reshape(FOLDS, bins)
    other_sums, other_counts = sums.sum(axis=0) - sums, counts.sum(axis=0) - counts
    means = other_sums.sum(axis=1) / np.maximum(other_counts.sum(axis=1), 1)
    predicted: Floats = ((other_sums + means[:, None]) / (other_counts + 1))[folds, codes]
    return predicted


def _number_codes(values: Floats) -> Ints:
    is_missing = np.isnan(values)
    present = values[~is_missing]
    edges = np.unique(present)
    if edges.size > _BINS:
        edges = np.unique(np.quantile(present, np.linspace(0, 1, _BINS + 1)[1:], method="inverted_cdf"))
    codes = np.searchsorted(edges, values, side="left").astype(np.int64)
    codes[is_missing] = edges.size + 1
    return codes


def _floats(column: Any) -> Floats:  # noqa: ANN401
    floats = pc.fill_null(pc.cast(column, pa.float64(), safe=False), float("nan"))
    return np.asarray(floats.to_numpy(zero_copy_only=False), dtype=np.float64)
