"""What an import costs, counted in fresh processes."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import everloop

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = {"pandas", "sklearn", "sqlalchemy", "duckdb", "pyarrow", "lightgbm", "alembic"}
_REPORT = "import json, sys; print(json.dumps(sorted(sys.modules)))"


def modules_after(program: str) -> list[str]:
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    names: list[str] = json.loads(found.stdout.splitlines()[-1])
    return names


def test_importing_everloop_loads_at_most_300_modules_and_nothing_heavy() -> None:
    names = modules_after(f"import everloop\n{_REPORT}")

    assert len(names) <= 300
    assert not HEAVY & set(names)


def test_help_loads_at_most_150_modules_and_nothing_heavy() -> None:
    program = f"""
import sys
sys.argv = ["everloop", "--help"]
from everloop.cli import main
try:
    main()
except SystemExit as ended:
    assert not ended.code
{_REPORT}
"""
    names = modules_after(program)

    assert len(names) <= 150
    assert not HEAVY & set(names)


def test_a_command_about_folders_or_names_loads_no_engine_for_tables(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a").write_text("a")
    program = f"""
import everloop
with everloop.connect(home={str(tmp_path / "home")!r}) as app:
    app.data.add_files("t", {str(tmp_path / "files")!r})
    app.data.tag("t", "gold")
    assert app.data.status("t", {str(tmp_path / "files")!r}).is_clean
{_REPORT}
"""
    assert not {"duckdb", "pyarrow", "pandas"} & set(modules_after(program))


@pytest.mark.parametrize("name", everloop.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(everloop, name) is not None


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        everloop.nonsense  # noqa: B018
