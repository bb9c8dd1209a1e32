"""Suites are read from TOML and JSON as they were written, and an error says where and what was likely meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from everloop.data import checks as check
from everloop.data.records import Suite
from everloop.data.suite_files import SuiteFileError
from everloop.data.suites import run_suite
from everloop.data.table import Table

if TYPE_CHECKING:
    from pathlib import Path


def is_long(table: Table) -> bool:
    return table.num_rows > 10


SUITE = Suite(
    'odd "names" \\ and ünïcode',
    [
        check.not_null("a", share=0.9, severity="warn"),
        check.between("t", "2013-01-01T00:00:00+00:00", None),
        check.in_set("b", ["x", 'y"', 1, 2.5, True]),
        check.matches("c", r"[A-Z]{3}\d\x7f"),
        check.unique("a", "b"),
        check.expression("a >= b", name="order"),
        check.references("b", table="other", key="k", severity="quarantine"),
        check.fresh("t", "36h"),
        check.quantile("a", 0.5, -1e300, 1),
        check.has_columns("a", "b", only=True),
        check.distinct("a", max=9, approximate=True),
        check.sql("SELECT count(*)\nFROM rows"),
    ],
)


@pytest.mark.parametrize("name", ["suite.toml", "suite.json"])
def test_a_suite_comes_back_as_it_was_written(tmp_path: Path, name: str) -> None:
    SUITE.write(tmp_path / name)

    assert Suite.read(tmp_path / name) == SUITE
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_toml_dates_are_bounds_and_the_file_names_the_suite(tmp_path: Path) -> None:
    (tmp_path / "flights.toml").write_text(
        '[[checks]]\nkind = "between"\ncolumn = "t"\nlow = 2013-01-01T00:00:00Z\nhigh = 2014-01-01\n'
    )

    suite = Suite.read(tmp_path / "flights.toml")

    assert suite == Suite("flights", [check.between("t", "2013-01-01T00:00:00+00:00", "2014-01-01")])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[[checks]]\nkind = "not_null"\ncolumn = "a"\n\n[[checks]]\nkind = "betwen"', "line 5, check 2: .*mean between"),
        ('[[checks]]\nkind = "between"\ncolumn = "a"\nhigth = 3', "line 1, check 1: .*'higth'. Did you mean high"),
        ('[[checks]]\nkind = "between"\ncolumn = "a"', "line 1, check 1: .*needs low or high"),
        ('[[checks]]\nkind = "not_null"\ncolumn = 3', r"line 1, check 1: .*Expected `str`.*column"),
        ('[[checks]]\nkind = "fresh"\ncolumn = "a"\nwithin = "soon"', "not a duration"),
        ('[[checks]]\ncolumn = "a"', "it has no kind"),
        ('[[checks]]\nkind = "not_null"\ncolumn = a', "line 3"),
        ('nmae = "x"\nchecks = []', "Did you mean name"),
        ("name = 3\nchecks = []", "name is a text"),
        ("checks = [3]", "no table of fields"),
        ("a = 1", "no list of checks"),
        ('[[checks]]\nkind = "python"\nfunction = "nowhere:nothing"', "nowhere"),
        ('[[checks]]\nkind = "expression"\nsql = "a >"', "does not parse"),
    ],
)  # fmt: skip
def test_an_error_says_where(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "s.toml").write_text(text)

    with pytest.raises(SuiteFileError, match=told):
        Suite.read(tmp_path / "s.toml")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"checks": [\n{"kind": "not_nul", "column": "a"}]}', r"checks\[0\].*Did you mean not_null"),
        ('{"checks": [\n}', "line 2"),
        ("[]", "no list of checks"),
    ],
)
def test_an_error_of_json_says_where(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "s.json").write_text(text)

    with pytest.raises(SuiteFileError, match=told):
        Suite.read(tmp_path / "s.json")


def test_a_file_that_is_missing_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(SuiteFileError, match="cannot be read"):
        Suite.read(tmp_path / "none.toml")


def test_a_function_is_written_by_name_when_it_can_be_imported(tmp_path: Path) -> None:
    import json

    Suite("s", [check.python(json.dumps)]).write(tmp_path / "s.toml")  # type: ignore[arg-type]

    assert Suite.read(tmp_path / "s.toml").checks[0].function == "json:dumps"
    with pytest.raises(check.InvalidCheckError, match="no name to import it by"):
        Suite("s", [check.python(lambda _: True)]).write(tmp_path / "s.toml")


def test_a_function_named_by_a_file_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_checks.py").write_text("def is_short(table):\n    return table.num_rows < 10\n")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "s.toml").write_text('[[checks]]\nkind = "python"\nfunction = "my_checks:is_short"\n')

    result = run_suite(Suite.read(tmp_path / "s.toml"), Table.of({"a": [1]}))

    assert result.verdict == "passed"
