"""What the guides show runs as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e
GUIDES = Path(__file__).parents[2] / "docs" / "guides"


@pytest.mark.parametrize(
    "guide",
    [
        "checks.md",
        "data.md",
        "executors.md",
        "features.md",
        "personal-data.md",
        "pipelines.md",
        "schedules.md",
    ],
)
def test_the_python_of_a_guide_runs_from_top_to_bottom(guide: str, tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (GUIDES / guide).read_text(), re.DOTALL)
    assert blocks

    (tmp_path / "guide.py").write_text("\n".join(blocks) + "\napp.close()\n")
    command = [sys.executable, "-W", "error", "guide.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
