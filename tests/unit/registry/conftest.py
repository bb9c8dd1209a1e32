"""A registry on a fresh home."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from everloop.evaluation.service import Evaluation
from everloop.explanation.service import Explanation
from everloop.registry.service import Registry

if TYPE_CHECKING:
    from everloop.kernel.operations import Kernel


@pytest.fixture
def registry(any_kernel: Kernel) -> Registry:
    return Registry(any_kernel, evaluation=Evaluation(any_kernel), explanation=Explanation(any_kernel))
