"""Points as they travel."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from everloop.tracking.series.columns import BadColumnsError, PointColumns, between, join, pack, unpack


def test_points_travel_through_json_bit_by_bit() -> None:
    sent = pack("loss", [0.0, 1.5], [1, 2**52], [float("nan"), -0.0])
    found = unpack(msgspec.json.decode(msgspec.json.encode(sent), type=PointColumns))
    assert found.steps.tolist() == [0.0, 1.5]
    assert found.times.tolist() == [1, 2**52]
    assert np.isnan(found.values[0])
    assert np.signbit(found.values[1])


@pytest.mark.parametrize("field", ["steps", "times", "values"])
def test_columns_of_different_lengths_are_refused(field: str) -> None:
    sent = msgspec.structs.replace(pack("loss", [0.0, 1.0], [1, 2], [3.0, 4.0]), **{field: b"12345678"})
    with pytest.raises(BadColumnsError, match="'loss'"):
        unpack(sent)


@pytest.mark.parametrize("step", [float("nan"), float("inf")])
def test_a_step_that_is_no_place_is_refused(step: float) -> None:
    with pytest.raises(BadColumnsError, match="step"):
        unpack(pack("loss", [step], [1], [3.0]))


def test_an_exact_repetition_counts_once_and_another_value_at_the_same_place_stays() -> None:
    piece = unpack(pack("loss", [1.0, 1.0, 0.0], [5, 5, 5], [2.0, 3.0, 4.0]))
    found = join([piece, piece])
    assert list(zip(found.steps.tolist(), found.values.tolist(), strict=True)) == [
        (0.0, 4.0),
        (1.0, 2.0),
        (1.0, 3.0),
    ]


def test_between_takes_both_borders() -> None:
    found = between(unpack(pack("loss", [0.0, 1.0, 2.0, 3.0], [1, 2, 3, 4], [0.0, 1.0, 2.0, 3.0])), 1.0, 2.0)
    assert found.steps.tolist() == [1.0, 2.0]
