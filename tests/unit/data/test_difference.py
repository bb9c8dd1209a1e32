"""Rows that two sequences do not share are found whatever was done to one of them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.data import difference as module
from everloop.data.difference import Located, difference, surplus
from everloop.data.rows import RowHashes

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest


def hashes(values: list[int] | np.ndarray[tuple[int], np.dtype[np.int64]]) -> RowHashes:
    lane = np.array(values, dtype=np.uint64)
    return RowHashes(lane * np.uint64(0x9E3779B97F4A7C15), lane + np.uint64(7))


def located(found: RowHashes, step: int = 1_000) -> Iterator[Located]:
    for start in range(0, max(len(found), 1), step):
        yield Located(found.take(slice(start, start + step)), np.arange(start, min(start + step, len(found))))


def check(old: RowHashes, new: RowHashes) -> tuple[int, int]:
    """Compare with counting, and return how many rows each side has for itself."""
    found = difference(located(old), located(new), rows=len(old) + len(new))
    one, other = Counter(old.a.tolist()), Counter(new.a.tolist())
    assert Counter(old.a[found.removed].tolist()) == one - other
    assert Counter(new.a[found.added].tolist()) == other - one
    assert (found.removed_tally.rows, found.added_tally.rows) == (len(found.removed), len(found.added))
    assert (np.diff(found.removed) > 0).all()
    return len(found.removed), len(found.added)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.integers(0, 12), max_size=60), st.lists(st.integers(0, 12), max_size=60))
def test_any_two_sequences(old: list[int], new: list[int]) -> None:
    check(hashes(old), hashes(new))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.sampled_from(["update", "delete", "insert", "move", "shuffle", "double"]))
def test_edits_of_a_long_sequence(seed: int, kind: str) -> None:
    random = np.random.default_rng(seed)
    old = random.permutation(6_000)
    which = random.choice(6_000, 60, replace=False)
    new = {
        "update": np.where(np.isin(np.arange(6_000), which), old + 10_000, old),
        "delete": np.delete(old, which),
        "insert": np.insert(old, 3_000, np.arange(20_000, 20_500)),
        "move": np.concatenate([old[2_000:], old[:2_000]]),
        "shuffle": random.permutation(old),
        "double": np.concatenate([old, old[which]]),
    }[kind]
    wanted = {"update": (60, 60), "delete": (60, 0), "insert": (0, 500), "double": (0, 60)}

    assert check(hashes(old), hashes(new)) == wanted.get(kind, (0, 0))


def test_many_rows_are_set_apart_in_buckets_on_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BUCKET_ROWS", 500)
    old = np.arange(5_000)

    assert check(hashes(old), hashes(old[::-1][:4_000])) == (1_000, 0)


def test_rows_with_one_first_lane_are_told_apart_by_the_second() -> None:
    lane, second = np.zeros(3, np.uint64), np.array([1, 2, 2], np.uint64)

    is_removed, is_added = surplus(RowHashes(lane, second), RowHashes(lane[:1], second[1:2]))

    assert (is_removed.tolist(), is_added.tolist()) in (
        [[True, True, False], [False]],
        ([True, False, True], [False]),
        ([True, True, False], [False]),
    )
