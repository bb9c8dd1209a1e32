"""Code and environment are found where they are, and their absence never stops a run."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from everloop.tracking.capture import capture, environment_lock

if TYPE_CHECKING:
    from pathlib import Path

    from everloop.kernel.operations import Kernel

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=ada", "-c", "user.email=ada@example.org"]
    command = [shutil.which("git") or "git", "-C", str(folder), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A main script `train/fit.py` in a folder of its own."""
    file = tmp_path / "work" / "train" / "fit.py"
    file.parent.mkdir(parents=True)
    file.write_text("print(1)\n")
    main = ModuleType("__main__")
    main.__file__ = str(file)
    monkeypatch.setitem(sys.modules, "__main__", main)
    monkeypatch.setattr(sys, "argv", [str(file), "--trees", "80"])
    return file


def commit(script: Path) -> str:
    folder = script.parents[1]
    git(folder, "init", "-b", "trunk")
    git(folder, "add", "train/fit.py")
    git(folder, "commit", "-m", "first")
    return git(folder, "rev-parse", "HEAD")


@needs_git
def test_a_clean_tree_is_its_commit(script: Path, kernel: Kernel) -> None:
    made = commit(script)

    found = capture(kernel.objects)

    assert (found.commit, found.branch, found.diff) == (made, "trunk", None)
    assert (found.script, found.command) == ("train/fit.py", ["fit.py", "--trees", "80"])


@needs_git
def test_a_dirty_tree_is_its_commit_and_what_was_changed(script: Path, kernel: Kernel) -> None:
    commit(script)
    script.write_text("print(2)\n")

    found = capture(kernel.objects)

    assert found.diff is not None
    assert b"+print(2)" in kernel.objects.get(found.diff)


@needs_git
def test_a_tree_without_a_commit_leaves_git_out(script: Path, kernel: Kernel) -> None:
    git(script.parents[1], "init")

    assert capture(kernel.objects).commit == ""


def test_outside_git_the_script_is_named_in_full(script: Path, kernel: Kernel) -> None:
    found = capture(kernel.objects)

    assert (found.commit, found.branch, found.diff) == ("", "", None)
    assert found.script == str(script)


def test_a_machine_without_git_says_nothing_of_it(
    script: Path, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    (script.parents[1] / ".git").mkdir()
    monkeypatch.setenv("PATH", "")

    assert capture(kernel.objects).commit == ""


def test_a_session_without_a_script_has_none(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))

    assert capture(kernel.objects).script == ""


def test_the_lock_names_every_distribution_once_in_order() -> None:
    lines = environment_lock().decode().splitlines()

    assert lines == sorted(set(lines))
    assert set(lines) == {
        f"{item.metadata['Name'].lower()}=={item.version}" for item in importlib.metadata.distributions()
    }
