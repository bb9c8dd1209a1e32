"""The object store in a folder, on both databases, keeps the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from everloop.testing.objects import DeletingStoreContract

if TYPE_CHECKING:
    from everloop.kernel.objects import Objects
    from everloop.kernel.operations import Kernel


class TestFolder(DeletingStoreContract):
    @pytest.fixture
    def objects(self, any_kernel: Kernel) -> Objects:
        return any_kernel.objects
