"""Which version answers a key: 10,000 buckets, a stable hash, and the fewest moves when weights change.

Every version owns some spans of buckets. A version whose share grows takes buckets from those that shrink and keeps its
own, so raising a canary from 5 to 10 % moves nobody who is already in it. Pure. Laws: tests/property/test_routing.py.
"""

from __future__ import annotations

from hashlib import blake2b
from itertools import pairwise
from typing import TYPE_CHECKING

from everloop.core.errors import InvalidInputError
from everloop.serving.records import BUCKETS, Span

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ROUNDING = 1e-6


class InvalidWeightsError(InvalidInputError):
    """Weights are negative, or do not sum to 1."""

    code = "serving.invalid-weights"


def bucket(salt: str, key: str) -> int:
    """Return the bucket of a key, 0 to 9,999; the same on every machine and in every process."""
    return int.from_bytes(blake2b(f"{salt}\0{key}".encode(), digest_size=8).digest(), "big") % BUCKETS


def version_at(spans: Sequence[Span], place: int) -> int:
    """Return the version that owns a bucket."""
    return next(span.version for span in spans if span.low <= place < span.high)


def reassign(spans: Sequence[Span], weights: Mapping[int, float]) -> list[Span]:
    """Return spans for new weights, moving as few buckets as possible.

    Args:
        spans: the present owners of all buckets; empty for a new deployment.
        weights: share of each version; shares sum to 1.

    Raises:
        InvalidWeightsError: a share is negative, or they do not sum to 1.
    """
    wanted = _bucket_counts(weights)
    owners: list[int | None] = [None] * BUCKETS
    for span in spans:
        owners[span.low : span.high] = [span.version] * (span.high - span.low)
    _release(owners, wanted)
    _take(owners, wanted)
    return _spans(owners)


def _bucket_counts(weights: Mapping[int, float]) -> dict[int, int]:
    whole = sum(weights.values())
    if not weights or min(weights.values()) < 0 or abs(whole - 1) > _ROUNDING:
        raise InvalidWeightsError(
            f"the weights {dict(weights)} are not shares that sum to 1. Give for example {{3: 0.95, 4: 0.05}}.",
            path="$.weights",
        )
    counts = {version: round(share * BUCKETS) for version, share in weights.items()}
    largest = max(counts, key=lambda version: counts[version])
    counts[largest] += BUCKETS - sum(counts.values())
    return {version: count for version, count in counts.items() if count}


def _release(owners: list[int | None], wanted: Mapping[int, int]) -> None:
    """Free, from the last bucket down, what a version owns beyond its new share."""
    held: dict[int, int] = {}
    for place, owner in enumerate(owners):
        if owner is None:
            continue
        held[owner] = held.get(owner, 0) + 1
        if held[owner] > wanted.get(owner, 0):
            owners[place] = None


def _take(owners: list[int | None], wanted: Mapping[int, int]) -> None:
    missing = {version: count - owners.count(version) for version, count in sorted(wanted.items())}
    takers = [version for version, count in missing.items() for _ in range(count)]
    free = (place for place, owner in enumerate(owners) if owner is None)
    for place, version in zip(free, takers, strict=True):
        owners[place] = version


def _spans(owners: Sequence[int | None]) -> list[Span]:
    edges = [place for place in range(1, BUCKETS) if owners[place] != owners[place - 1]]
    bounds = [0, *edges, BUCKETS]
    return [Span(low=low, high=high, version=owners[low] or 0) for low, high in pairwise(bounds)]
