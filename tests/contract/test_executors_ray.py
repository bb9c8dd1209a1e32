"""Ray keeps the promises of the executors' protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from everloop.testing.executors import ExecutorContract

if TYPE_CHECKING:
    from tests.conftest import MakeKernel

    from everloop.kernel import Kernel

pytestmark = [pytest.mark.ray, pytest.mark.integration]


class TestRay(ExecutorContract):
    executor = "ray"

    @pytest.fixture
    def kernel(self, make_kernel: MakeKernel, ray_address: str) -> Kernel:
        return make_kernel(executor_address=ray_address)
