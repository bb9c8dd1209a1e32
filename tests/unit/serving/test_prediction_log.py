"""Frames become parts exactly once, whatever happens between."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from everloop.evaluation import Evaluation
from everloop.registry import Model, Registry
from everloop.serving import Serving
from everloop.serving.frames import SegmentWriter
from everloop.serving.prediction_log import PredictionFrame, feature_column, log_folder
from everloop.serving.service import MisalignedLabelsError

if TYPE_CHECKING:
    from everloop.kernel.operations import Kernel

ALWAYS = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
MOMENT_US = 1_359_676_800_000_000  # 2013-02-01


class PowerCutError(Exception):
    """Stands for a kill."""


def served(kernel: Kernel) -> Serving:
    estimator = LinearRegression().fit(np.array([[0.0], [1.0]]), [0.0, 2.0])
    model = Model(estimator, features=["time"], target="y", example={"time": [0.0, 1.0]})
    registry = Registry(kernel, evaluation=Evaluation(kernel))
    registry.register("m", model)
    serving = Serving(kernel, registry=registry)
    serving.deploy("d", "m@v1")
    return serving


def append(serving: Serving, writer: SegmentWriter, request: str, rows: int) -> None:
    body = msgspec.json.encode({"rows": [{"time": float(row)} for row in range(rows)]})
    digest = serving.get("d").routes[0].digest
    outputs = np.arange(rows, dtype=np.float64).tobytes()
    writer.append(
        msgspec.msgpack.encode(PredictionFrame(request, MOMENT_US, 7, [(1, digest)], b"", 1, outputs, body))
    )


def test_what_is_logged_while_the_writer_runs_is_read_once(kernel: Kernel) -> None:
    serving = served(kernel)
    writer = SegmentWriter(log_folder(kernel.home, "d"), "predictions")
    append(serving, writer, "r1", 2)
    assert serving.flush() == 2
    append(serving, writer, "r2", 3)
    assert (serving.flush(), serving.flush()) == (3, 0)
    assert len(list(log_folder(kernel.home, "d").glob("*.frames"))) == 1
    writer.close()
    serving.flush()

    found = serving.predictions("d", *ALWAYS)
    assert found.column("id").to_pylist() == ["r1-0", "r1-1", "r2-0", "r2-1", "r2-2"]
    assert found.column("prediction").to_pylist() == [0.0, 1.0, 0.0, 1.0, 2.0]
    assert not list(log_folder(kernel.home, "d").glob("*.frames"))


def test_a_feature_named_like_a_column_of_the_log_is_kept_beside_it(kernel: Kernel) -> None:
    serving = served(kernel)
    writer = SegmentWriter(log_folder(kernel.home, "d"), "predictions")
    append(serving, writer, "r", 2)
    writer.close()
    found = serving.predictions("d", *ALWAYS)
    assert found.column(feature_column("time")).to_pylist() == [0.0, 1.0]
    assert set(found.column("time").to_pylist()) == {datetime(2013, 2, 1, tzinfo=UTC)}


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_kill_around_the_commit_of_a_part_changes_nothing(kernel: Kernel, moment: str) -> None:
    serving = served(kernel)
    writer = SegmentWriter(log_folder(kernel.home, "d"), "predictions")
    append(serving, writer, "r", 4)
    writer.close()
    commits: list[str] = []

    def cut(now: str) -> None:
        commits.append(now)
        # the first commit keeps the object, the second its part
        if now == moment and commits.count(now) == 2:
            raise PowerCutError

    kernel.catalog.on_commit.append(cut)
    with pytest.raises(PowerCutError):
        serving.flush()
    kernel.catalog.on_commit.clear()

    serving.flush()
    assert serving.predictions("d", *ALWAYS).num_rows == 4


def test_an_id_logged_twice_counts_once(kernel: Kernel) -> None:
    serving = served(kernel)
    writer = SegmentWriter(log_folder(kernel.home, "d"), "predictions")
    append(serving, writer, "r", 2)
    append(serving, writer, "r", 2)
    writer.close()
    assert serving.predictions("d", *ALWAYS).num_rows == 2


def test_labels_that_do_not_fit_their_ids_are_refused(kernel: Kernel) -> None:
    with pytest.raises(MisalignedLabelsError, match="labels has 1 values for 2 ids"):
        served(kernel).label("d", ids=["a", "b"], labels=[1])
