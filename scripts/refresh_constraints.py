"""Write constraints.txt: the newest version of every package that the tests pass with.

    python scripts/refresh_constraints.py

Makes a fresh environment, installs everything the tests need without constraints, and writes names and versions. Run the tests
with the new file before committing it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEAD = "# The versions Everloop is tested with; written by scripts/refresh_constraints.py.\n"


def main() -> None:
    """Write the file."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [f"{folder}/bin/python", "-m", "pip", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "--quiet", f"{ROOT}[test,ray]"], check=True)
        frozen = subprocess.run([*pip, "freeze"], check=True, capture_output=True, text=True).stdout
    lines = [line for line in frozen.splitlines() if "==" in line and not line.startswith("everloop")]
    (ROOT / "constraints.txt").write_text(HEAD + "\n".join(sorted(lines, key=str.lower)) + "\n")
    print(f"{len(lines)} packages")


if __name__ == "__main__":
    main()
