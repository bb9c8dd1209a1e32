"""The three forms of what a command prints."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
import msgspec
import pytest

from everloop.cli import COMMANDS, everloop, output
from everloop.cli.output import Session

if TYPE_CHECKING:
    from collections.abc import Callable


class Row(msgspec.Struct):
    """A row to print."""

    name: str
    share: float | None
    at: datetime
    tags: list[str]
    more: dict[str, int]


ROWS = [
    Row("one", 0.123456789, datetime(2013, 2, 1, 12, tzinfo=UTC), ["a", "b"], {"k": 1}),
    Row("[red]two[/", None, datetime(2013, 2, 2, tzinfo=UTC), [], {}),
]
COLUMNS = ["name", "share", "at", "tags", "more"]


def printed(form: str, print_: Callable[[], None], capsys: pytest.CaptureFixture[str]) -> str:
    with click.Context(click.Command("x"), obj=Session(form=form)):
        print_()
    return capsys.readouterr().out


def test_a_table_has_a_line_a_row_with_values_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed("table", lambda: output.table(ROWS, COLUMNS), capsys).splitlines()

    assert lines[0].split() == COLUMNS
    assert lines[1].split("  ")[0] == "one"
    assert "0.123457" in lines[1]
    assert "2013-02-01 12:00:00" in lines[1]
    assert "a, b" in lines[1]
    assert "k=1" in lines[1]
    assert lines[2].startswith("[red]two[/")
    assert len(lines) == 3


def test_csv_reads_back(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed("csv", lambda: output.table(ROWS, COLUMNS), capsys)

    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["name"] for row in rows] == ["one", "[red]two[/"]
    assert rows[1]["share"] == ""


def test_json_holds_every_field_and_full_precision(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(printed("json", lambda: output.table(ROWS, ["name"]), capsys))

    assert found[0]["share"] == 0.123456789
    assert set(found[0]) == set(COLUMNS)


@pytest.mark.parametrize("form", ["table", "json"])
def test_a_record_prints_its_fields(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(form, lambda: output.record(ROWS[0]), capsys)

    assert all(name in text for name in COLUMNS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_loads_and_is_described(name: str) -> None:
    command = everloop.get_command(click.Context(everloop), name)

    assert command is not None
    assert command.get_short_help_str()
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.name}"
