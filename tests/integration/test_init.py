"""`everloop init`: what it writes works as it is."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )


def test_the_test_of_a_new_project_passes(tmp_path: Path) -> None:
    pytest.importorskip("lightgbm")
    made = run(tmp_path, "-m", "everloop", "init", "project")
    assert made.returncode == 0, made.stderr

    tested = run(tmp_path / "project", "-m", "pytest", "-q", "-p", "no:cacheprovider")

    assert "1 passed" in tested.stdout, tested.stdout + tested.stderr


def test_a_folder_that_holds_a_project_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "loop.py").write_text("mine")

    refused = run(tmp_path, "-m", "everloop", "init")

    assert refused.returncode == 2
    assert "loop.py already" in refused.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["loop.py"]
    assert (tmp_path / "loop.py").read_text() == "mine"
