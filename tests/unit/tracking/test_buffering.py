"""Values between the call and the batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from everloop.tracking.buffering import LARGEST_BATCH, Buffer
from everloop.tracking.series.columns import unpack

if TYPE_CHECKING:
    from everloop.core.clock import ManualClock


def test_nothing_waits_and_nothing_is_packed(clock: ManualClock) -> None:
    buffer = Buffer(clock)
    assert (len(buffer), buffer.pack(0)) == (0, None)


def test_a_batch_has_a_column_for_each_metric_in_the_order_of_the_calls(clock: ManualClock) -> None:
    buffer = Buffer(clock)
    buffer.add({"a": 1.0, "b": 2.0}, None)
    clock.advance(1)
    buffer.add({"a": 3.0}, 7.0)
    buffer.add({"a": 4.0}, None)
    batch = buffer.pack(5)
    assert batch is not None
    assert batch.sequence == 5
    found = {one.name: unpack(one) for one in batch.series}
    assert found["a"].steps.tolist() == [0.0, 7.0, 8.0]
    assert found["a"].values.tolist() == [1.0, 3.0, 4.0]
    assert (found["a"].times[1:] - found["b"].times[0]).tolist() == [1_000_000, 1_000_000]


def test_more_than_a_batch_goes_in_several(clock: ManualClock) -> None:
    buffer = Buffer(clock)
    for _ in range(LARGEST_BATCH + 1):
        buffer.add({"a": 1.0}, None)
    sizes: list[int] = []
    while (batch := buffer.pack(len(sizes))) is not None:
        sizes.append(batch.points)
    assert sizes == [LARGEST_BATCH, 1]


def test_the_last_of_several_values_of_a_param_wins(clock: ManualClock) -> None:
    buffer = Buffer(clock)
    buffer.add_params({"depth": 1}.items())
    buffer.add_params({"depth": 2}.items())
    buffer.add_tags({"who": "ada"}.items())
    batch = buffer.pack(0)
    assert batch is not None
    assert (batch.params, batch.tags) == ({"depth": 2}, {"who": "ada"})
