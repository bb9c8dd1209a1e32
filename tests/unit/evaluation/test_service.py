"""Reports are stored whole and found again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from everloop.evaluation.service import Evaluation, EvaluationNotFoundError
from everloop.evaluation.tables import roots

if TYPE_CHECKING:
    from everloop.kernel.operations import Kernel

LABELS = np.array([0.0, 1.0] * 100)
SCORES = np.tile([0.2, 0.7], 100)


def test_a_report_holds_each_metric_beside_its_constant_baseline(kernel: Kernel) -> None:
    report = Evaluation(kernel).evaluate(LABELS, SCORES, subject="model:m@v1", data="dataset:d@v1")

    found = {metric.metric: metric for metric in report.metrics}
    assert found["auc"].baseline == 0.5
    assert found["auc"].skill == 1.0
    assert found["brier"].baseline == pytest.approx(0.25)
    assert found["log_loss"].baseline == pytest.approx(np.log(2))
    assert report.positives == 100


def test_a_stored_report_is_read_back_and_named_in_an_event(kernel: Kernel) -> None:
    service = Evaluation(kernel)
    report = service.compare(
        LABELS,
        np.full(200, 0.5),
        SCORES,
        subject="model:m@v2",
        against="model:m@v1",
        margins={"log_loss": 0.01},
    )

    assert service.report(report.id) == report
    assert [row.id for row in service.list(subject="model:m@v2")] == [report.id]
    event = kernel.events.read(kinds=["evaluation.recorded"])[0]
    assert event.payload["outcomes"] == {"log_loss": "better"}
    with kernel.catalog.read() as connection:
        assert [digest for digest, _ in roots(connection)] == [event.payload["report"]]


def test_an_unknown_evaluation_says_how_to_find_one(kernel: Kernel) -> None:
    with pytest.raises(EvaluationNotFoundError, match="everloop model evaluations"):
        Evaluation(kernel).get("nothing")
