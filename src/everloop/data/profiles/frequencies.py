"""How often values come: exact while they are few, else the frequent ones with a bound on what was missed.

A true count lies between the count kept and that plus `error`; a value that is not kept came at most `error`
times. Both stay true when counts are added in any order. Source of the bounded form: Manku and Motwani,
Approximate frequency counts over data streams (2002). Tests: tests/property/test_statistics.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from everloop.data.profiles.hashing import HashArray

# More different values than this are an identity or free text, not a category.
MOST_VALUES = 1_000
# A longer text is no category; keeping it would make statistics as large as the rows.
_MOST_CHARACTERS = 200


class Counts(msgspec.Struct, frozen=True, array_like=True):
    """Values and how often each came; `error` is 0 when that is exact and whole."""

    values: dict[str, int]
    error: int = 0


def count_distinct_texts(values: Any, counts: Any) -> Counts:  # noqa: ANN401 - Arrow arrays
    """Return the counts of different texts; the rarest and the long ones are left to the error."""
    numbers = np.asarray(counts.to_numpy(zero_copy_only=False), dtype=np.int64)
    kept = np.flatnonzero(pc.utf8_length(values).to_numpy() <= _MOST_CHARACTERS)
    kept = np.sort(kept[np.argsort(-numbers[kept], kind="stable")[:MOST_VALUES]])
    missed = np.delete(numbers, kept)
    named = dict(zip(values.take(kept).to_pylist(), numbers[kept].tolist(), strict=True))
    return Counts(named, int(missed.max(initial=0)))


def count_frequent_texts(texts: Any, hashes: HashArray) -> Counts:  # noqa: ANN401 - an Arrow array
    """Return the counts of the texts with a share of at least 1/1000 that come twice or more."""
    ordered = np.sort(hashes)
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    numbers = np.diff(np.append(starts, ordered.size))
    is_frequent = numbers >= max(2, -(-ordered.size // MOST_VALUES))
    missed = int(numbers[~is_frequent].max(initial=0))
    if not is_frequent.any():
        return Counts({}, missed)
    wanted = ordered[starts[is_frequent]]
    places = np.flatnonzero(np.isin(hashes, wanted))
    _, first = np.unique(hashes[places], return_index=True)
    found = count_distinct_texts(texts.take(places[first]), _arrow(numbers[is_frequent]))
    return Counts(found.values, max(found.error, missed))


def add_counts(parts: Sequence[Counts]) -> Counts:
    """Return the counts of parts together, at most 1,000 of them: the most frequent, ties by value."""
    together: dict[str, int] = {}
    for part in parts:
        for value, count in part.values.items():
            together[value] = together.get(value, 0) + count
    error = sum(part.error for part in parts)
    if len(together) <= MOST_VALUES:
        return Counts(together, error)
    ordered = by_frequency(together)
    return Counts(dict(ordered[:MOST_VALUES]), error + ordered[MOST_VALUES][1])


def by_frequency(values: dict[str, int]) -> list[tuple[str, int]]:
    """Return values and counts, most first, ties by value."""
    return sorted(values.items(), key=lambda pair: (-pair[1], pair[0]))


def _arrow(numbers: Any) -> Any:  # noqa: ANN401
    import pyarrow as pa

    return pa.array(numbers)
