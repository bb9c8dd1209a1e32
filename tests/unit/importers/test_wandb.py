"""Offline runs of Weights & Biases, as its own client writes them."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.unit.importers.conftest import points

from everloop.importers import bring, open_source
from everloop.importers.records import BadSourceError

if TYPE_CHECKING:
    from pathlib import Path

    from everloop.tracking import Tracking

PROGRAM = """
import math, sys
import numpy as np, wandb
run = wandb.init(project="proj", name="one", config={"lr": 0.1, "net": {"depth": 3}}, tags=["a", "b"], notes="hello", group="g")
for i in range(3000):
    wandb.log({"loss": 1 / (i + 1), "deep": {"acc": i / 20}, "odd": math.nan if i == 3 else 1.0})
wandb.log({"img": wandb.Image(np.zeros((4, 5, 3), np.uint8), caption="black"), "h": wandb.Histogram([1, 2, 2, 3]),
    "t": wandb.Table(columns=["a", "b"], data=[[1, "x"], [2, None]]), "said": "words", "deep": {"said": "inner"}, "list": [1, 2], "long": "x" * 2_000_000})
print("printed line")
run.summary["best"] = 0.9
run.finish(exit_code=int(sys.argv[1]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("code", [0, 3])
def test_an_offline_run_comes_whole_and_once(tracking: Tracking, tmp_path: Path, code: int) -> None:
    pytest.importorskip("wandb")
    environment = {
        **os.environ,
        "WANDB_MODE": "offline",
        "WANDB_DIR": str(tmp_path),
        "WANDB_SILENT": "true",
        "WANDB_ERROR_REPORTING": "false",
    }
    subprocess.run(
        [sys.executable, "-c", PROGRAM, str(code)],
        check=True,
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        timeout=120,
    )

    report = bring(tracking, open_source("wandb", str(tmp_path / "wandb")))

    [run] = tracking.list()
    assert (run.name, run.experiment, run.note) == ("one", "proj", "hello")
    assert run.status == ("failed" if code else "finished")
    assert run.params == {"lr": 0.1, "net.depth": 3}
    assert {"wandb.tag.a", "wandb.tag.b", "wandb.group"} <= run.tags.keys()
    found = points(tracking, run.id)
    assert found["loss"] == [(step, 1 / (step + 1)) for step in range(3000)]
    assert found["deep.acc"] == [(step, step / 20) for step in range(3000)]
    assert found["odd"][3] == (3.0, "nan")
    assert found["best"] == [(0.0, 0.9)]
    shown = {item.name: item for item in tracking.media(run.id)}
    assert tracking.media_content(shown["img"])[:4] == b"\x89PNG"
    assert (shown["img"].step, shown["img"].details["caption"]) == (3000.0, "black")
    assert tracking.read_media(shown["h"]).counts.sum() == 4
    assert tracking.read_media(shown["t"]).to_pydict() == {"a": [1, 2], "b": ["x", None]}
    assert tracking.read_media(shown["said"]) == "words"
    assert tracking.read_media(shown["deep.said"]) == "inner"
    assert tracking.read_media(shown["list"]).tolist() == [1.0, 2.0]
    assert [loss.what for loss in report.losses] == ["long at step 3000"]
    assert "printed line" in [line.text for line in tracking.output(run.id)]
    assert "requirements.txt" in {artifact.name for artifact in tracking.artifacts(run.id)}
    again = bring(tracking, open_source("wandb", str(tmp_path / "wandb")))
    assert (again.new_runs, again.new_points, report.new_points > 9000) == (0, 0, True)
    assert len(tracking.output(run.id)) == report.lines


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "run-x.wandb").write_bytes(b"something else")
    with pytest.raises(BadSourceError, match="no log of Weights"):
        list(open_source("wandb", str(tmp_path)).runs())
