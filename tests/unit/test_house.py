"""The house stays in order: style, types and layers are tests like any other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def _passes(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def test_the_linter_finds_nothing() -> None:
    _passes(str(BIN / "ruff"), "check", "--quiet", ".")


def test_the_formatter_changes_nothing() -> None:
    _passes(str(BIN / "ruff"), "format", "--check", "--quiet", ".")


@pytest.mark.slow
def test_types_are_strict_and_clean() -> None:
    _passes(sys.executable, "-m", "mypy", "src/everloop", "tests", "benchmarks", "scripts")


def test_no_import_points_up() -> None:
    _passes(str(BIN / "lint-imports"), "--no-cache")


def test_the_readme_is_short_and_its_commands_are_those_of_ci() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) < 160
    assert '.venv/bin/pip install -c constraints.txt ".[test]" && .venv/bin/pytest' in lines
    assert (
        'python3 -m venv .venv && .venv/bin/pip install -c constraints.txt ".[demo]" && .venv/bin/everloop demo'
        in lines
    )


def test_the_example_is_at_most_40_lines() -> None:
    lines = (ROOT / "examples/flights/loop.py").read_text().splitlines()
    assert len([line for line in lines if line.strip() and not line.strip().startswith("#")]) <= 40
