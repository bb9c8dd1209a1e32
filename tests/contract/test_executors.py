"""Our executors keep the promises of the protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from everloop.pipelines.executors.process import close_idle_workers
from everloop.testing.executors import ExecutorContract

if TYPE_CHECKING:
    from collections.abc import Iterator


class TestInline(ExecutorContract):
    executor = "inline"
    survives_death = False


@pytest.mark.integration
class TestProcess(ExecutorContract):
    executor = "process"

    @pytest.fixture(autouse=True)
    def _no_worker_is_left(self) -> Iterator[None]:
        yield
        close_idle_workers()
