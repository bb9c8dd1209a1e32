"""Batch requests without a timer: while one batch runs, what arrives waits, and all that waits is the next batch.

It adds no wait when idle and finds the batch size by itself under load. A request whose batch fails is run again alone, so
one bad request fails alone. Tests: tests/unit/serving/test_batching.py.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from numpy.typing import NDArray

    from everloop.registry.encoding import Matrix
    from everloop.registry.flavors.protocol import Predictor

# A batch takes no more rows than this, so that the requests behind it do not wait long.
_MOST_ROWS = 16_384


class _Waiting(NamedTuple):
    matrix: Matrix
    answer: asyncio.Future[NDArray[np.float64]]


class Batcher:
    """Runs one predictor for an event loop. Not for threads.

    Args:
        predictor: what runs the model.
        executor: where batches run.
    """

    def __init__(self, predictor: Predictor, executor: Executor) -> None:
        self._predictor = predictor
        self._executor = executor
        self._waiting: list[_Waiting] = []
        self._task: asyncio.Task[None] | None = None

    def is_direct(self, rows: int) -> bool:
        """Return whether a request of so many rows may run at once, on the event loop."""
        return self._task is None and rows <= self._predictor.inline_rows

    def predict_now(self, matrix: Matrix) -> NDArray[np.float64]:
        """Return the answers on this thread; ask `is_direct` first."""
        return self._predictor.predict(matrix)

    async def predict(self, matrix: Matrix) -> NDArray[np.float64]:
        """Return the answers (n,) or (n, classes) from the next batch."""
        answer: asyncio.Future[NDArray[np.float64]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(matrix, answer))
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return await answer

    async def _run(self) -> None:
        try:
            while self._waiting:
                await self._run_batch(self._next())
        finally:
            self._task = None

    def _next(self) -> list[_Waiting]:
        rows, taken = 0, 0
        for waiting in self._waiting:
            rows += len(waiting.matrix)
            if taken and rows > _MOST_ROWS:
                break
            taken += 1
        batch, self._waiting = self._waiting[:taken], self._waiting[taken:]
        return batch

    async def _run_batch(self, batch: list[_Waiting]) -> None:
        whole = batch[0].matrix if len(batch) == 1 else np.concatenate([waiting.matrix for waiting in batch])
        try:
            answers = await self._call(whole)
        except Exception as error:  # noqa: BLE001 - goes to the request that caused it
            await self._fail(batch, error)
            return
        start = 0
        for waiting in batch:
            end = start + len(waiting.matrix)
            if not waiting.answer.done():
                waiting.answer.set_result(answers[start:end])
            start = end

    async def _fail(self, batch: list[_Waiting], error: Exception) -> None:
        if len(batch) > 1:
            for waiting in batch:
                await self._run_batch([waiting])
        elif not batch[0].answer.done():
            batch[0].answer.set_exception(error)

    async def _call(self, matrix: Matrix) -> NDArray[np.float64]:
        return await asyncio.get_running_loop().run_in_executor(
            self._executor, self._predictor.predict, matrix
        )
