"""Event files, as tensorboardX and PyTorch write them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.unit.importers.conftest import points

from everloop.importers import bring, open_source
from everloop.importers.bringing import id_here

if TYPE_CHECKING:
    from pathlib import Path

    from everloop.tracking import Tracking

tensorboardx = pytest.importorskip("tensorboardX")
pytestmark = pytest.mark.filterwarnings("ignore")


def test_scalars_histograms_pictures_texts_and_params_come_once(tracking: Tracking, tmp_path: Path) -> None:
    with tensorboardx.SummaryWriter(str(tmp_path / "logs" / "first")) as writer:
        for step in range(100):
            writer.add_scalar("loss/train", 1 / (step + 1), step)
        writer.add_scalar("odd", float("nan"), 0)
        writer.add_histogram("weights", np.arange(1000.0), 3)
        writer.add_image("sample", np.zeros((3, 4, 5), np.uint8), 7)
        writer.add_text("said", "hello", 1)
    with tensorboardx.SummaryWriter(str(tmp_path / "logs" / "second")) as writer:
        writer.add_hparams({"lr": 0.5, "net": "small", "depth": 3, "flag": True}, {"final": 0.25})

    source = open_source("tensorboard", str(tmp_path / "logs"))
    report = bring(tracking, source)

    runs = {run.name: run for run in tracking.list()}
    first = runs["first"]
    assert (first.experiment, first.id) == ("logs", id_here(source, "logs/first"))
    found = points(tracking, first.id)
    assert [step for step, _ in found["loss/train"]] == list(range(100))
    assert [value for _, value in found["loss/train"]] == [np.float32(1 / (step + 1)) for step in range(100)]
    assert found["odd"] == [(0.0, "nan")]
    [weights] = tracking.media(first.id, name="weights")
    bins = tracking.read_media(weights)
    assert (weights.step, bins.counts.sum(), bins.borders[0], bins.borders[-1]) == (3.0, 1000.0, 0.0, 999.0)
    [sample] = tracking.media(first.id, name="sample")
    assert (sample.step, tracking.media_content(sample)[:4]) == (7.0, b"\x89PNG")
    assert [tracking.read_media(one) for one in tracking.media(first.id, kind="text")] == ["hello"]
    tuned = next(run for run in runs.values() if run.params)
    assert tuned.params == {"lr": 0.5, "net": "small", "depth": 3, "flag": True}
    assert report.losses == []
    again = bring(tracking, open_source("tensorboard", str(tmp_path / "logs")))
    assert (again.new_runs, again.new_points) == (0, 0)
    assert len(tracking.media(first.id)) == 3


def test_a_file_that_is_still_written_is_read_as_far_as_it_goes(tracking: Tracking, tmp_path: Path) -> None:
    with tensorboardx.SummaryWriter(str(tmp_path / "r")) as writer:
        for step in range(10):
            writer.add_scalar("a", step, step)
    file = next((tmp_path / "r").glob("*tfevents*"))
    whole = file.read_bytes()
    file.write_bytes(whole[:-10])
    assert bring(tracking, open_source("tensorboard", str(tmp_path / "r"))).new_points == 9
    file.write_bytes(whole)
    assert bring(tracking, open_source("tensorboard", str(tmp_path / "r"))).new_points == 1
