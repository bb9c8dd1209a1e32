"""How commands speak: data on stdout as table, JSON or CSV; progress and remarks on stderr; errors in plain words.

Tests: tests/unit/cli.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from everloop.app import App

FORMATS = ("table", "json", "csv")
_WIDEST = 10_000


class Session:
    """What the options before the command say: where the home is, and how to print."""

    def __init__(self, *, home: str | None = None, url: str | None = None, form: str = "table") -> None:
        self.home = home
        self.url = url
        self.form = form


def session() -> Session:
    """Return the session of this command."""
    found = click.get_current_context().find_object(Session)
    return found or Session()


@contextmanager
def app() -> Iterator[App]:
    """Open the app the options name and close it after the block."""
    from everloop.app import connect

    here = session()
    opened = connect(url=here.url, home=here.home)
    try:
        yield opened
    finally:
        opened.close()


def table(rows: Sequence[Mapping[str, Any] | object], columns: Sequence[str]) -> None:
    """Print rows in the form asked for.

    Args:
        rows: mappings or structs.
        columns: names of the columns, in order; in JSON every field is printed.
    """
    form = session().form
    if form == "json":
        echo_json(list(rows))
        return
    cells = [[_text(_cell(row, column)) for column in columns] for row in rows]
    if form == "csv":
        _print_csv(columns, cells)
    else:
        _print_table(columns, cells)


def record(value: object) -> None:
    """Print one object: its fields line by line, or as JSON."""
    import msgspec

    if session().form != "table":
        echo_json(value)
        return
    fields = msgspec.to_builtins(value)
    if not isinstance(fields, dict):
        click.echo(_text(fields))
        return
    width = max((len(name) for name in fields), default=0)
    for name, content in fields.items():
        click.echo(f"{name:<{width}}  {_text(content)}")


@contextmanager
def progress(verb: str) -> Iterator[Callable[[int, int], None]]:
    """Give a function that shows files and bytes so far on a terminal, a few times a second, and wipe it at the end."""
    import time

    last = 0.0

    def told(files: int, size: int) -> None:
        nonlocal last
        if sys.stderr.isatty() and time.monotonic() > last + 0.1:
            last = time.monotonic()
            click.echo(f"\r\x1b[K{verb} {files:,} files, {size / 1e6:,.0f} MB", err=True, nl=False)

    try:
        yield told
    finally:
        if last:
            click.echo("\r\x1b[K", err=True, nl=False)


def note(message: str) -> None:
    """Say something beside the data, on stderr."""
    click.echo(message, err=True)


def echo_json(value: object) -> None:
    """Print a value as JSON."""
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def _cell(row: Mapping[str, Any] | object, column: str) -> object:
    if isinstance(row, dict):
        return row.get(column)
    return getattr(row, column, None)


def _text(value: object) -> str:
    import datetime as dt

    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dt.datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, dict):
        return ", ".join(f"{name}={_text(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in value)
    return str(value)


def _print_csv(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(cells)


def _print_table(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    # What is printed is data: no markup in it, and no folding where a program reads it.
    width = None if sys.stdout.isatty() else _WIDEST
    console = Console(highlight=False, markup=False, emoji=False, width=width)
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        drawn.add_column(column.replace("_", " "), overflow="fold")
    for row in cells:
        drawn.add_row(*row)
    console.print(drawn)
    if not cells:
        note("nothing here yet")


def pairs(words: Sequence[str]) -> dict[str, str]:
    """Return NAME=VALUE words as a mapping.

    Raises:
        click.BadParameter: a word has no equals sign.
    """
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise click.BadParameter(f"{word!r} is no NAME=VALUE.")
        found[name] = value
    return found
