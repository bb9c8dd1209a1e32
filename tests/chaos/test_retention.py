"""A collection that is killed loses nothing that stays, and the next one goes on to the same end."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from everloop.app import App
from everloop.kernel.runtime import open_kernel
from everloop.kernel.settings import Settings

pytestmark = [pytest.mark.chaos, pytest.mark.integration, pytest.mark.slow]
PROGRAM = str(Path(__file__).with_name("gc_and_die.py"))


def open_app(home: Path) -> App:
    return App(open_kernel(Settings(home=home, catalog_url=f"sqlite:///{home / 'c.db'}")))


def collect(home: Path, number: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, PROGRAM, str(home), f"sqlite:///{home / 'c.db'}", str(number)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def fill(home: Path) -> None:
    home.mkdir()
    app = open_app(home)
    app.data.add("t", {"k": list(range(300)), "v": [0] * 300}, keys=["k"])
    for number in range(1, 4):
        app.data.add("t", {"k": list(range(number * 300, number * 300 + 300)), "v": [number] * 300})
    app.data.add("t", {"k": [1000], "v": [-1]}, mode="upsert")
    app.data.tag("t", "gold", at="v2")
    app.kernel.close()


def files_of(home: Path) -> int:
    return sum(1 for path in (home / "objects").rglob("*") if path.is_file())


def test_a_killed_collection_keeps_what_stays_and_the_next_one_ends_it(tmp_path: Path) -> None:
    fill(tmp_path / "full")
    shutil.copytree(tmp_path / "full", tmp_path / "whole")
    whole = collect(tmp_path / "whole", 0)
    assert whole.returncode == 0, whole.stderr
    points = int(whole.stdout)
    assert points > 10

    for number in range(1, points + 1, 2):
        home = tmp_path / f"home{number}"
        shutil.copytree(tmp_path / "full", home)
        killed = collect(home, number)
        assert killed.returncode == -9, f"point {number}: {killed.stderr}"
        app = open_app(home)
        for version in app.data.versions("t"):
            assert len(app.data.read(version.ref).to_arrow()) == version.rows, f"point {number}"
        assert app.system.check_objects().is_clean
        app.kernel.close()

        again = collect(home, 0)
        assert again.returncode == 0, f"point {number}: {again.stderr}"
        app = open_app(home)
        assert sorted(version.version for version in app.data.versions("t")) == [2, 4, 5]
        assert app.data.read("t@gold").num_rows == 300
        assert app.data.read("t").num_rows == app.data.version("t").rows
        assert app.system.check_objects().is_clean
        app.kernel.close()
        shutil.rmtree(home)
