"""What waits while a batch runs becomes the next batch, and one bad request fails alone."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest

from everloop.serving.batching import Batcher

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from everloop.registry.encoding import Matrix


class Doubler:
    """Doubles the first column; refuses negative numbers; notes the size of each batch."""

    inline_rows = 1

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.may_go = threading.Event()
        self.may_go.set()

    def predict(self, matrix: Matrix) -> NDArray[np.float64]:
        self.may_go.wait(5)
        self.sizes.append(len(matrix))
        if (matrix < 0).any():
            raise ValueError("negative")
        return np.asarray(matrix[:, 0] * 2, dtype=np.float64)

    def contributions(self, matrix: Matrix) -> NDArray[np.float64]:
        raise NotImplementedError(str(matrix))


async def ask(batcher: Batcher, values: list[float]) -> list[list[float] | Exception]:
    tasks = [asyncio.create_task(batcher.predict(np.array([[value]]))) for value in values]
    found = await asyncio.gather(*tasks, return_exceptions=True)
    return [answer.tolist() if isinstance(answer, np.ndarray) else ValueError(answer) for answer in found]


def test_requests_that_wait_become_one_batch() -> None:
    async def run() -> tuple[list[int], list[list[float] | Exception]]:
        doubler = Doubler()
        doubler.may_go.clear()
        with ThreadPoolExecutor(1) as executor:
            batcher = Batcher(doubler, executor)
            first = asyncio.create_task(batcher.predict(np.array([[1.0]])))
            await asyncio.sleep(0.01)
            assert not batcher.is_direct(1)
            rest = asyncio.create_task(ask(batcher, [2.0, 3.0, 4.0]))
            await asyncio.sleep(0.01)
            doubler.may_go.set()
            await first
            return doubler.sizes, await rest

    sizes, answers = asyncio.run(run())
    assert sizes == [1, 3]
    assert answers == [[4.0], [6.0], [8.0]]


def test_one_bad_request_of_a_batch_fails_alone() -> None:
    async def run() -> list[list[float] | Exception]:
        with ThreadPoolExecutor(1) as executor:
            return await ask(Batcher(Doubler(), executor), [1.0, -1.0, 3.0])

    good, bad, fine = asyncio.run(run())
    assert (good, fine) == ([2.0], [6.0])
    assert isinstance(bad, ValueError)


def test_an_idle_batcher_lets_small_requests_run_at_once() -> None:
    with ThreadPoolExecutor(1) as executor:
        batcher = Batcher(Doubler(), executor)
        assert batcher.is_direct(1)
        assert not batcher.is_direct(2)
        assert batcher.predict_now(np.array([[2.0]])).tolist() == [4.0]
        with pytest.raises(ValueError, match="negative"):
            batcher.predict_now(np.array([[-2.0]]))
