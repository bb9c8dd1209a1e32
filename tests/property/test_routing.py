"""Laws of sticky routing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.serving.records import BUCKETS, Span
from everloop.serving.routing import InvalidWeightsError, bucket, reassign, version_at

SHARES = st.dictionaries(st.integers(1, 6), st.integers(1, 100), min_size=1, max_size=4).map(
    lambda parts: {version: part / sum(parts.values()) for version, part in parts.items()}
)


def owners(spans: list[Span]) -> list[int]:
    return [span.version for span in spans for _ in range(span.low, span.high)]


@given(st.lists(SHARES, min_size=1, max_size=4))
def test_every_bucket_is_owned_once_and_shares_are_exact(steps: list[dict[int, float]]) -> None:
    spans: list[Span] = []
    for weights in steps:
        spans = reassign(spans, weights)
        held = owners(spans)
        assert len(held) == BUCKETS
        for version, share in weights.items():
            assert abs(held.count(version) - share * BUCKETS) <= len(weights)


@given(SHARES, SHARES)
def test_no_bucket_moves_that_need_not(before: dict[int, float], after: dict[int, float]) -> None:
    first = owners(reassign([], before))
    second = owners(reassign(reassign([], before), after))
    grown = sum(max(0, second.count(v) - first.count(v)) for v in set(second))
    assert sum(a != b for a, b in zip(first, second, strict=True)) == grown


def test_raising_a_canary_moves_nobody_out_of_it() -> None:
    five = reassign(reassign([], {1: 1.0}), {1: 0.95, 2: 0.05})
    ten = reassign(five, {1: 0.9, 2: 0.1})
    inside = [place for place in range(BUCKETS) if version_at(five, place) == 2]
    assert len(inside) == 500
    assert all(version_at(ten, place) == 2 for place in inside)


def test_a_key_keeps_its_bucket_and_keys_spread_evenly() -> None:
    assert bucket("delays", "flight-1") == bucket("delays", "flight-1") == 7102
    places = [bucket("delays", str(key)) < 1_000 for key in range(20_000)]
    assert 0.09 < sum(places) / 20_000 < 0.11


@pytest.mark.parametrize("weights", [{}, {1: 0.5}, {1: 1.5, 2: -0.5}])
def test_weights_that_are_no_shares_are_refused(weights: dict[int, float]) -> None:
    with pytest.raises(InvalidWeightsError, match="sum to 1"):
        reassign([], weights)
