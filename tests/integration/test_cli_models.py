"""The commands for models, deployments and predictions work on a real home and a real gateway."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import lightgbm
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from everloop.cli import everloop
from everloop.evaluation import Evaluation
from everloop.registry import Model, Registry

if TYPE_CHECKING:
    from pathlib import Path

    from everloop.kernel.operations import Kernel

pytestmark = pytest.mark.integration


@pytest.fixture
def home(kernel: Kernel) -> Path:
    """Two versions of one model."""
    frame = pd.DataFrame({"a": np.arange(200.0), "late": np.arange(200) > 90})
    for trees in (3, 5):
        options = {"objective": "binary", "verbose": -1, "num_threads": 1}
        booster = lightgbm.train(options, lightgbm.Dataset(frame[["a"]], label=frame["late"]), trees)
        model = Model(booster, features=["a"], target="late", positive=True, example=frame)
        Registry(kernel, evaluation=Evaluation(kernel)).register("delays", model)
    return kernel.home


def run(home: Path, *arguments: str) -> Result:
    return CliRunner().invoke(
        everloop, ["--home", str(home), "-o", "json", *arguments], catch_exceptions=False
    )


def test_models_are_listed_aliased_and_deployed(home: Path) -> None:
    assert json.loads(run(home, "model", "ls").stdout)[0]["versions"] == 2
    run(home, "model", "alias", "delays", "champion", "2", "--reason", "first")
    assert json.loads(run(home, "model", "show", "delays@champion").stdout)["version"] == 2
    assert json.loads(run(home, "deploy", "live", "delays@v1").stdout)["weights"] == "v1=1"
    shared = json.loads(run(home, "deploy", "live", "delays@v1=0.9", "delays@v2=0.1").stdout)
    assert shared["weights"] == "v1=0.9 v2=0.1"
    assert json.loads(run(home, "deploy", "rollback", "live").stdout)["weights"] == "v1=1"
    assert len(json.loads(run(home, "deploy", "history", "live").stdout)) == 3


def test_rows_of_a_file_are_predicted_through_a_gateway(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setenv("EVERLOOP_GATEWAY_PORT", str(port))
    run(home, "deploy", "live", "delays@v1")
    (tmp_path / "rows.csv").write_text("flight,a\nx,1\ny,150\n")
    (tmp_path / "labels.csv").write_text("id,label\nx,0\ny,1\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "everloop", "--home", str(home), "gateway"], stderr=subprocess.DEVNULL
    )
    try:
        answers = predicted(home, tmp_path / "rows.csv")
    finally:
        process.terminate()
        process.wait(15)

    assert [answer["id"] for answer in answers] == ["x", "y"]
    assert (
        json.loads(run(home, "predict", "label", "live", str(tmp_path / "labels.csv")).stdout)["labels"] == 2
    )


def predicted(home: Path, file: Path) -> list[dict[str, object]]:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        result = CliRunner().invoke(
            everloop, ["--home", str(home), "-o", "json", "predict", "live", str(file), "--id", "flight"]
        )
        if result.exit_code == 0:
            return list(json.loads(result.stdout))
        time.sleep(0.2)
    raise AssertionError(result.output)


def test_models_are_made_edited_and_removed(home: Path) -> None:
    run(home, "model", "new", "other", "--note", "n", "--tag", "team=blue")
    run(home, "model", "edit", "other", "--name", "another", "--tag", "a=b", "--untag", "team")
    run(home, "model", "edit-version", "delays", "1", "--note", "old")
    run(home, "model", "rm-version", "delays", "2")

    about = json.loads(run(home, "model", "about", "another").stdout)
    versions = json.loads(run(home, "model", "versions", "delays").stdout)

    assert (about["note"], about["tags"]) == ("n", {"a": "b"})
    assert [version["version"] for version in versions] == [1]
    run(home, "model", "rm", "another")
    assert [one["name"] for one in json.loads(run(home, "model", "ls").stdout)] == ["delays"]
