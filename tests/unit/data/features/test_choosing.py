"""The best row is found whatever the order in which rows come, and however they are spread over the keys."""

from __future__ import annotations

import numpy as np
import pytest

from everloop.data.features.choosing import NOWHERE, Choice


def slow(
    codes: np.ndarray, moments: np.ndarray, keys: np.ndarray, happened: np.ndarray, known: np.ndarray
) -> list[int]:
    found = []
    for code, moment in zip(codes, moments, strict=True):
        usable = np.flatnonzero((keys == code) & (happened <= moment) & (known <= moment))
        best = max(usable, key=lambda row: (happened[row], known[row]), default=NOWHERE)
        found.append(int(best))
    return found


@pytest.mark.parametrize(
    ("keys_count", "entity_count"), [(1, 700), (3, 300), (500, 400), (1, 1), (1, 2), (2, 3)]
)
def test_each_entity_gets_its_row_in_one_pass_over_pieces(keys_count: int, entity_count: int) -> None:
    random = np.random.default_rng(keys_count * 1000 + entity_count)
    codes = np.sort(random.integers(0, keys_count, entity_count))
    order = np.lexsort((moments := random.integers(0, 2000, entity_count), codes))
    codes, moments = codes[order], moments[order]
    rows = 3000
    keys = random.integers(0, keys_count, rows)
    # No two rows are equal: every time occurs once.
    happened = random.permutation(rows)
    known = happened + random.integers(-500, 500, rows)
    choice = Choice(codes, moments, keys_count)

    for start in range(0, rows, 700):
        which = slice(start, start + 700)
        choice.add(keys[which], happened[which], known[which], np.arange(rows)[which])
    found = choice.finish()

    assert found.places.tolist() == slow(codes, moments, keys, happened, known)
    assert not found.tied.any()


def test_rows_that_are_equally_good_are_told() -> None:
    codes, moments = np.array([0, 0, 1]), np.array([5, 9, 9])
    choice = Choice(codes, moments, 2)

    for place, (key, happened, known) in enumerate([(0, 3, 4), (1, 3, 4), (0, 3, 4), (0, 3, 8), (1, 2, 4)]):
        choice.add(np.array([key]), np.array([happened]), np.array([known]), np.array([place]))
    found = choice.finish()

    assert found.tied.tolist() == [True, False, False]
    assert found.places[1:].tolist() == [3, 1]
    assert found.known.tolist() == [4, 8, 4]


def test_without_entities_and_without_rows_there_is_nothing() -> None:
    empty = np.empty(0, np.int64)
    assert len(Choice(empty, empty, 0).finish().places) == 0
    assert Choice(np.array([0]), np.array([1]), 1).finish().places.tolist() == [NOWHERE]
