"""Explanations are stored and found by the model they explain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from everloop.explanation.service import Explanation, NotExplainedError

if TYPE_CHECKING:
    from everloop.kernel.operations import Kernel


def test_the_newest_explanation_of_a_model_is_found(kernel: Kernel) -> None:
    service = Explanation(kernel)
    service.summarise(np.array([[1.0, 0.0, 0.5]]), features=["a", "b"], subject="model:m@v1")
    newest = service.summarise(np.array([[0.0, 2.0, 0.5]]), features=["a", "b"], subject="model:m@v1")

    assert service.latest(subject="model:m@v1") == newest
    assert newest.importances[0].feature == "b"
    assert kernel.events.read(kinds=["explanation.recorded"])[-1].payload["top"] == ["b", "a"]


def test_a_model_that_was_not_explained_says_so(kernel: Kernel) -> None:
    with pytest.raises(NotExplainedError, match="nothing is stored"):
        Explanation(kernel).latest(subject="model:m@v9")
