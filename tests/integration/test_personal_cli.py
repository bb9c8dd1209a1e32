"""`everloop data personal` as a user types it, and the same through a server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

import everloop
from everloop.cli import everloop as command

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.conftest import Server

pytestmark = pytest.mark.integration
ROWS = "id,full_name,email\n1,Ada Lovelace,ada@example.org\n2,Bob Builder,bob@example.org\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rows.csv").write_text(ROWS)
    run(tmp_path, "data", "add", "patients", tmp_path / "rows.csv")
    return tmp_path


def run(folder: Path, *arguments: object) -> Result:
    result = CliRunner().invoke(command, ["--home", str(folder / "home"), *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_personal_data_is_shown_by_column_without_values(folder: Path) -> None:
    shown = run(folder, "data", "personal", "patients").output
    found = json.loads(run(folder, "-o", "json", "data", "personal", "patients@v1").stdout)

    assert [line.split()[:3] for line in shown.splitlines()[1:3]] == [
        ["full_name", "person-name", "100%"],
        ["email", "email", "100%"],
    ]
    assert "2 of 2 rows" in shown
    assert "Ada" not in shown + str(found)
    assert [one["kind"] for one in found["columns"]] == ["person-name", "email"]


def test_a_masked_version_is_made_and_says_what_is_left(folder: Path) -> None:
    made = run(folder, "data", "mask", "patients", "--to", "masked", "--column", "email=hash")
    again = run(folder, "data", "mask", "patients", "--to", "masked", "--column", "email=hash")
    wrong = run(folder, "data", "mask", "patients", "--to", "masked", "--column", "email")

    assert "masked@v1" in made.output
    assert "not masked, though personal data was found in them: full_name" in made.output
    assert "unchanged: masked@v1" in again.output
    assert wrong.exit_code == 2
    assert "example" not in run(folder, "data", "head", "masked").output


def test_a_client_is_told_the_same(api_server: Server) -> None:
    with everloop.connect(api_server.url, token=api_server.token) as app:
        app.data.add("patients", {"email": ["ada@example.org"]})

        assert [one.kind for one in app.data.personal("patients").columns] == ["email"]
        made = app.data.mask("patients", {"email": "keep-format"}, to="masked")
        assert app.data.read(made.version.ref).num_rows == 1
