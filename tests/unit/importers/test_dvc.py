"""Experiments of DVC: commits below `refs/exps`, with params, metrics and the tables of DVCLive."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from tests.unit.importers.conftest import points

from everloop.importers import bring, open_source
from everloop.importers.records import BadSourceError

if TYPE_CHECKING:
    from pathlib import Path

    from everloop.tracking import Tracking


GIT = shutil.which("git") or "git"


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [GIT, "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b.c", *arguments], check=True, capture_output=True, text=True
    )  # fmt: skip
    return done.stdout.strip()


def test_each_experiment_is_a_run_with_params_metrics_and_series(tracking: Tracking, tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "live" / "plots" / "metrics" / "train").mkdir(parents=True)
    git(tmp_path, "init", "-q", "project")
    (project / "dvc.yaml").write_text(
        "stages:\n  train:\n    cmd: x\n    params:\n    - lr\n    - other.yaml:\n      - depth\n    metrics:\n    - scores.json\n"
    )
    (project / "params.yaml").write_text("lr: 0.1\nnet:\n  kind: small\n")
    (project / "other.yaml").write_text("depth: 3\n")
    (project / "scores.json").write_text('{"test": {"auc": 0.75}, "train": {"loss": 0.5}}')
    table = "".join(f"{step * 1000}\t{step}\t{1 / (step + 1)}\n" for step in range(4))
    (project / "live" / "plots" / "metrics" / "train" / "loss.tsv").write_text(
        f"timestamp\tstep\ttrain/loss\n{table}"
    )
    git(project, "add", "-A")
    git(project, "commit", "-qm", "x")
    commit = git(project, "rev-parse", "HEAD")
    git(project, "update-ref", f"refs/exps/{commit[:2]}/{commit[2:]}/wise-cat", commit)
    git(project, "update-ref", "refs/exps/stash", commit)

    report = bring(tracking, open_source("dvc", str(project)))

    [run] = tracking.list()
    assert (run.name, run.experiment, run.tags["dvc.baseline"]) == ("wise-cat", "project", commit)
    assert run.params == {"lr": 0.1, "net.kind": "small", "depth": 3}
    assert points(tracking, run.id) == {
        "test.auc": [(0.0, 0.75)],
        "train/loss": [(step, 1 / (step + 1)) for step in range(4)],
    }
    assert report.new_points == 5
    assert bring(tracking, open_source("dvc", str(project))).new_points == 0


def test_a_folder_that_is_no_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSourceError, match="no Git repository"):
        open_source("dvc", str(tmp_path))
