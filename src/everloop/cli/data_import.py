"""`everloop data import` and `everloop data stream`: versions from other systems and from streams.

Tests: tests/integration/test_data_cli.py.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from everloop.cli import output
from everloop.core.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from everloop.data.records import DatasetVersion

_COLUMNS = ["ref", "files", "rows", "size_bytes", "stored_bytes", "message"]
# Lines are handed on after so many, or when one comes and the first is a second old.
_LINES = 1_000
_branch = click.option("--branch", default="main", show_default=True, help="Where the versions are added.")
_table = click.option(
    "--table",
    default="",
    metavar="PATH",
    help="One tabular file; its rows become the versions, not the files.",
)


@click.group("import")
def importing() -> None:
    """Bring the history of another system; what is there already is not brought again."""


@importing.command()
@click.argument("dataset")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--refs", type=click.Choice(["tags", "branches"]), default="tags", show_default=True,
              help="What becomes a version: each tag, or the head of each branch.")  # fmt: skip
@click.option("--path", "paths", multiple=True, help="Only this file or folder; repeat it for several.")
@_table
@_branch
def dvc(
    dataset: str,
    folder: Path,
    *,
    refs: Literal["tags", "branches"],
    paths: tuple[str, ...],
    table: str,
    branch: str,
) -> None:
    """Make each git tag of the DVC repository FOLDER a version of DATASET, tagged alike."""
    with output.app() as loop, output.progress("reading") as told:
        found = loop.data.import_dvc(
            dataset, folder, refs=refs, paths=paths, table=table, branch=branch, told=told
        )
    _print(found)


@importing.command()
@click.argument("dataset")
@click.argument("table")
@click.option(
    "--since", type=int, default=None, help="The first version to bring, 0 for all; else only the latest."
)
@click.option("--key", "keys", multiple=True, help="A column that names a row; repeat it for several.")
@_branch
def delta(dataset: str, table: str, *, since: int | None, keys: tuple[str, ...], branch: str) -> None:
    """Make versions of the Delta table TABLE (a folder, s3://, gs://, az://) versions of DATASET."""
    with output.app() as loop:
        found = loop.data.import_delta(dataset, table, since=since, keys=list(keys) or None, branch=branch)
    _print(found)


@importing.command()
@click.argument("dataset")
@click.argument("endpoint")
@click.argument("repository")
@click.option("--ref", default="main", show_default=True, help="The branch, tag or commit there.")
@click.option("--prefix", default="", help="Only objects below it.")
@click.option("--limit", default=100, show_default=True, help="How many commits back.")
@click.option("--access-key-id", envvar="LAKECTL_CREDENTIALS_ACCESS_KEY_ID", required=True, show_envvar=True,
              help="Of a user who may read.")  # fmt: skip
@click.option("--secret-access-key", envvar="LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY", prompt=True, hide_input=True,
              show_envvar=True, help="Of the same user; kept nowhere.")  # fmt: skip
@_table
@_branch
def lakefs(  # noqa: PLR0913 - where, as whom, and what
    dataset: str,
    endpoint: str,
    repository: str,
    *,
    ref: str,
    prefix: str,
    limit: int,
    access_key_id: str,
    secret_access_key: str,
    table: str,
    branch: str,
) -> None:
    """Make the latest commits of a branch of the lakeFS REPOSITORY at ENDPOINT versions of DATASET."""
    with output.app() as loop, output.progress("reading") as told:
        found = loop.data.import_lakefs(
            dataset,
            endpoint,
            repository,
            access_key_id=access_key_id,
            secret_access_key=secret_access_key,
            ref=ref,
            prefix=prefix,
            table=table,
            limit=limit,
            branch=branch,
            told=told,
        )
    _print(found)


@click.command()
@click.argument("dataset")
@click.option("--every-rows", type=int, default=None, help="Make a version of so many rows.")
@click.option("--every-seconds", type=float, default=None, help="Make a version of what comes in so long.")
@_branch
def stream(dataset: str, every_rows: int | None, every_seconds: float | None, branch: str) -> None:
    """Append JSON lines from standard input to DATASET, a version every so many rows or seconds.

    A version is named once it is durable; lines after the last one named are to be sent again after a stop.
    """
    if every_rows is None and every_seconds is None:
        raise click.UsageError("say how much is one version: --every-rows or --every-seconds")
    with output.app() as loop:
        lines = _batches(sys.stdin)
        for version in loop.data.stream(
            dataset, lines, every_rows=every_rows, every_s=every_seconds, branch=branch
        ):
            output.note(f"{version.ref}: {version.rows:,} rows")


def _batches(lines: Iterable[str]) -> Iterator[list[dict[str, object]]]:
    held: list[dict[str, object]] = []
    began = time.monotonic()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        began = began if held else time.monotonic()
        held.append(_record(line, number))
        if len(held) >= _LINES or time.monotonic() > began + 1:
            yield held
            held = []
    if held:
        yield held


def _record(line: str, number: int) -> dict[str, object]:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise InvalidInputError(
            f"line {number} of standard input is no JSON: {error}. Versions named before stay; mend the line and send it and what "
            "follows again.",
            subject=f"line {number}",
        ) from error
    if not isinstance(found, dict):
        raise InvalidInputError(
            f"line {number} of standard input is no JSON object but {type(found).__name__}. Send one object a line.",
            subject=f"line {number}",
        )
    return found


def _print(versions: list[DatasetVersion]) -> None:
    output.table(versions, _COLUMNS)
    output.note(f"{len(versions):,} versions")
