"""`everloop data` and `fsck` as a user types them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result
from tests.unit.data.importers.foreign import Project, out

from everloop.cli import everloop
from everloop.core.errors import EverloopError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

SUITE = {
    "name": "origins",
    "checks": [
        {"kind": "in_set", "column": "o", "values": ["EWR"], "severity": "quarantine"},
        {"kind": "not_null", "column": "id"},
    ],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rows.csv").write_text("id,o\n1,EWR\n2,XXX\n")
    (tmp_path / "suite.json").write_text(json.dumps(SUITE))
    return tmp_path


def run(folder: Path, *arguments: object) -> Result:
    return CliRunner().invoke(everloop, ["--home", str(folder / "home"), *map(str, arguments)])


def test_a_dataset_is_added_shown_and_written_again(folder: Path) -> None:
    added = run(
        folder, "data", "add", "t", folder / "rows.csv", "--suite", folder / "suite.json", "-m", "first"
    )
    assert added.exit_code == 0, added.output
    assert "t@v1" in added.output
    assert "t.quarantine@v1" in added.output
    for command in (("ls",), ("versions", "t"), ("show", "t"), ("profile", "t"), ("quarantine", "t")):
        result = run(folder, "data", *command)
        assert result.exit_code == 0, result.output
        assert "t" in result.output

    assert "EWR" in run(folder, "data", "head", "t").output
    assert run(folder, "data", "get", "t", folder / "out.csv").exit_code == 0
    assert (folder / "out.csv").read_text() == '"id","o"\n1,"EWR"\n'
    assert "unchanged" in run(folder, "data", "add", "t", folder / "out.csv").output


def test_a_check_ends_with_one_when_it_fails(folder: Path) -> None:
    run(folder, "data", "add", "t", folder / "rows.csv")
    (folder / "suite.json").write_text(json.dumps({**SUITE, "checks": [{"kind": "row_count", "low": 5}]}))

    result = run(folder, "data", "check", "t", folder / "suite.json")

    assert result.exit_code == 1
    assert "there are 2 rows" in result.output


def test_a_suite_of_toml_is_set_shown_and_run(folder: Path) -> None:
    run(folder, "data", "add", "t", folder / "rows.csv")
    text = 'name = "small"\n\n[[checks]]\nkind = "row_count"\nhigh = 2\n'
    (folder / "small.toml").write_text(text)

    by_option = run(folder, "data", "check", "t", "--suite", folder / "small.toml")
    none_yet = run(folder, "data", "check", "t")
    run(folder, "data", "suite", "t", folder / "small.toml")

    assert (by_option.exit_code, none_yet.exit_code) == (0, 2)
    assert run(folder, "data", "suite", "t").stdout == text
    assert run(folder, "data", "check", "t").exit_code == 0


def test_a_suggested_suite_is_written_and_passes(folder: Path) -> None:
    run(folder, "data", "add", "t", folder / "rows.csv")

    shown = run(folder, "data", "suggest", "t")
    run(folder, "data", "suggest", "t", "--output", folder / "s.toml")

    assert (folder / "s.toml").read_text() == shown.stdout
    assert run(folder, "data", "check", "t", "--suite", folder / "s.toml").exit_code == 0


def test_a_foreign_suite_is_translated_and_what_is_left_is_said(folder: Path) -> None:
    expectations = [
        {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "id"}},
        {"type": "expect_column_values_to_be_dateutil_parseable", "kwargs": {"column": "o"}},
    ]
    (folder / "gx.json").write_text(json.dumps({"name": "old", "expectations": expectations}))

    result = run(folder, "data", "translate-suite", folder / "gx.json", "--output", folder / "s.toml")

    assert (folder / "s.toml").read_text() == 'name = "old"\n\n[[checks]]\nkind = "not_null"\ncolumn = "id"\n'
    assert "not translated: o: expect_column_values_to_be_dateutil_parseable" in result.output


def test_a_suite_file_with_a_wrong_kind_names_the_near_one(folder: Path) -> None:
    (folder / "wrong.toml").write_text('[[checks]]\nkind = "betwen"\n')

    result = run(folder, "data", "add", "t", folder / "rows.csv", "--suite", folder / "wrong.toml")

    assert isinstance(result.exception, EverloopError)
    assert "Did you mean between" in str(result.exception)


def test_a_diff_in_json_is_the_record(folder: Path) -> None:
    run(folder, "data", "add", "t", folder / "rows.csv")
    run(folder, "data", "add", "t", folder / "rows.csv", "--append")

    found = json.loads(run(folder, "-o", "json", "data", "diff", "t@v1", "t").stdout)

    assert (found["rows_old"], found["rows_new"], found["is_append"]) == (2, 4, True)


def test_a_ragged_file_is_an_error_and_leaves_no_dataset(folder: Path) -> None:
    (folder / "rows.csv").write_text("a,b\n1\n")

    result = run(folder, "data", "add", "t", folder / "rows.csv")

    assert isinstance(result.exception, EverloopError)
    assert result.exception.code == "data.ragged-row"
    assert json.loads(run(folder, "-o", "json", "data", "ls").stdout) == []


def test_fsck_ends_with_one_when_an_object_is_damaged(folder: Path) -> None:
    run(folder, "data", "add", "t", folder / "rows.csv")

    assert run(folder, "fsck").exit_code == 0
    for path in (folder / "home" / "objects" / "objects").glob("*/*"):
        path.chmod(0o644)
        path.write_bytes(b"damaged")
    assert run(folder, "fsck").exit_code == 1


def test_lines_from_standard_input_become_versions(folder: Path) -> None:
    arguments = ["--home", str(folder / "home"), "data", "stream", "events", "--every-rows", "2"]
    lines = "".join(f'{{"id": {number}}}\n' for number in range(5))

    result = CliRunner().invoke(everloop, arguments, input=lines)

    assert result.exit_code == 0, result.output
    assert "events@v3: 5 rows" in result.output
    broken = CliRunner().invoke(everloop, arguments, input="[1]\n")
    assert "Send one object a line" in str(broken.exception)
    assert "--every-rows" in run(folder, "data", "stream", "events").output


def test_tags_of_a_dvc_repository_are_imported(folder: Path) -> None:
    project = Project(folder / "dvc")
    project.tag("first", {"rows.csv.dvc": out(project.cached(b"a\n1\n"), "rows.csv")})

    result = run(folder, "data", "import", "dvc", "train", folder / "dvc")

    assert result.exit_code == 0, result.output
    assert "tagged first" in result.output
    assert "first" in run(folder, "data", "refs", "train").output
