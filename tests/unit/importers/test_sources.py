"""Which kinds of sources there are, and the command that brings them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

import everloop
from everloop.cli import everloop as command
from everloop.cli.runs_import import import_runs
from everloop.importers import KINDS, open_source
from everloop.importers.records import BadSourceError

if TYPE_CHECKING:
    from pathlib import Path


def test_an_unknown_kind_and_an_empty_place_are_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(BadSourceError, match="Do you mean mlflow"):
        open_source("mlfow", str(tmp_path))
    for kind in KINDS:
        with pytest.raises(BadSourceError, match="there is nothing at"):
            open_source(kind, str(tmp_path / "nowhere"))
    with pytest.raises(BadSourceError, match="meta.yaml"):
        list(open_source("mlflow", str(tmp_path)).runs())
    with pytest.raises(BadSourceError, match="no event file"):
        open_source("tensorboard", str(tmp_path))
    (tmp_path / "x.db").write_bytes(b"SQLite format 3\x00" + bytes(100))
    with pytest.raises(BadSourceError, match="MLflow server"):
        list(open_source("mlflow", str(tmp_path / "x.db")).runs())


def test_the_command_knows_every_kind_and_tells_what_it_did(tmp_path: Path) -> None:
    tensorboardx = pytest.importorskip("tensorboardX")
    [kind] = [one for one in import_runs.params if one.name == "kind"]
    assert list(kind.type.choices) == list(KINDS)  # type: ignore[attr-defined] # a choice
    with tensorboardx.SummaryWriter(str(tmp_path / "logs")) as writer:
        writer.add_scalar("a", 1.0, 0)
    arguments = [
        "--home",
        str(tmp_path / "home"),
        "-o",
        "json",
        "runs",
        "import",
        "tensorboard",
        str(tmp_path / "logs"),
        "--experiment",
        "old",
    ]
    dry = CliRunner().invoke(command, [*arguments, "--dry-run"])
    assert (json.loads(dry.stdout)["new_points"], dry.exit_code) == (1, 0)
    assert "would be brought" in dry.stderr
    done = CliRunner().invoke(command, arguments)
    assert "1 of 1 runs and 1 of 1 points were brought; 0 points rounded" in done.stderr
    with everloop.connect(home=tmp_path / "home") as app:
        assert [run.experiment for run in app.tracking.list()] == ["old"]
