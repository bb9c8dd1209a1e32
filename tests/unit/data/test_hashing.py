"""Hashes of values are the same for ever, whatever the array around them."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from everloop.data.profiles.hashing import hash_array

KNOWN_TEXTS = [5627194300713089401, 5965878245013383232, 533520854800502339, 11400714819323198485]
KNOWN_INTEGERS = [5627194300713089401, 7551226805739869723, 17825859991557418324]
KNOWN_FLOATS = [16504380223549281316, 5627194300713089401]


def test_hashes_never_change() -> None:
    # Stored registers were made with these; another value means counting up the format of statistics.
    assert [int(one) for one in hash_array(pa.array(["", "a", "everloop", None]))] == KNOWN_TEXTS
    assert [int(one) for one in hash_array(pa.array([0, 1, -1]))] == KNOWN_INTEGERS
    assert [int(one) for one in hash_array(pa.array([1.5, -0.0]))] == KNOWN_FLOATS


@pytest.mark.parametrize(
    "values",
    [
        ["x", None, "longer text", "x" * 300],
        [b"\0", b"", None],
        [[1, 2], [], None, [2, 1]],
        [{"a": 1, "b": "x"}, {"a": None, "b": "x"}, None],
        [Decimal("1.50"), None, Decimal("2.00")],
        [date(2013, 1, 1), None],
        [True, False, None],
    ],
)
def test_a_slice_hashes_like_the_values_it_has(values: list[Any]) -> None:
    array = pa.array([*values, *values])

    whole, half = hash_array(array), hash_array(array.slice(len(values)))

    assert whole[: len(values)].tolist() == half.tolist()
    assert len(set(half.tolist())) == len(values)


def test_layouts_of_the_same_texts_hash_alike() -> None:
    plain = pa.array(["a", None, "bc", "a"])
    wanted = hash_array(plain).tolist()

    assert hash_array(plain.cast(pa.large_string())).tolist() == wanted
    assert hash_array(plain.cast(pa.string_view())).tolist() == wanted
    assert hash_array(plain.dictionary_encode()).tolist() == wanted


def test_zeros_and_values_that_are_no_number_have_one_hash_each() -> None:
    negative = np.frombuffer(np.uint64(0xFFF8000000000001).tobytes(), dtype=np.float64)[0]

    zero, other_zero, nan, other_nan = hash_array(pa.array([0.0, -0.0, float("nan"), negative]))

    assert (zero, nan) == (other_zero, other_nan)
    assert zero != nan


def test_a_text_longer_than_a_block_hashes_the_same_among_others() -> None:
    long = "x" * 200_000

    alone, among = hash_array(pa.array([long])), hash_array(pa.array(["a" * 60_000, long, "b"]))

    assert alone[0] == among[1]


def test_texts_that_differ_by_order_or_length_differ() -> None:
    texts = ["ab", "ba", "a", "aa", "aaa", "", "\0", "\0\0", *(f"user-{number}" for number in range(100_000))]

    assert len(set(hash_array(pa.array(texts)).tolist())) == len(texts)


def test_every_register_is_met_by_running_numbers() -> None:
    places = hash_array(pa.array(np.arange(100_000))) >> np.uint64(52)

    counts = np.bincount(places.astype(int), minlength=4096)

    assert counts.min() > 0
    assert counts.max() < 60
