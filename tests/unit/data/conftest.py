"""The data stage over a kernel of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from everloop.data.service import Data

if TYPE_CHECKING:
    from everloop.kernel.operations import Kernel


@pytest.fixture
def data(kernel: Kernel) -> Data:
    return Data(kernel)
