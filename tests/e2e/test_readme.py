"""What the README shows runs as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"


@pytest.mark.e2e
def test_the_example_of_the_readme_puts_a_policy_in_force(tmp_path: Path) -> None:
    block = re.search(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    assert block is not None
    (tmp_path / "loop.py").write_text(block[1])
    rows = [
        f"2024-01-{i % 28 + 1:02d}T10:00:00Z,{100 + 37 * i % 2900},{i % 24},{i % 3 == 0:d}"
        for i in range(300)
    ]
    (tmp_path / "flights.csv").write_text("time,distance,hour,late\n" + "\n".join(rows) + "\n")

    for command in (["loop.py"], ["-m", "everloop", "up", "--help"], ["-m", "everloop", "loop", "ls"]):
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert "delays" in done.stdout


def test_every_command_the_readme_names_exists() -> None:
    from everloop.cli import COMMANDS

    named = set(re.findall(r"`everloop (\w+)", README.read_text()))
    assert named
    assert named <= set(COMMANDS)
