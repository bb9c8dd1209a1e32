"""`everloop data`. Tests: tests/integration/test_data_cli.py."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from everloop.cli import output

if TYPE_CHECKING:
    from everloop.data.records import CheckResult, Suite
    from everloop.data.table import Table


@click.group()
def data() -> None:
    """Add, list, profile, check and compare datasets."""


@data.command()
@click.argument("dataset")
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--append", is_flag=True, help="Put the rows after those of the latest version.")
@click.option("--suite", "suite_file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="JSON file with a suite of checks.")  # fmt: skip
@click.option("--message", "-m", default="", help="Why, for people.")
@click.option("--event-time", default=None, help="Column that says when a row's fact happened.")
def add(
    dataset: str,
    source: Path,
    append: bool,  # noqa: FBT001 - a flag of the command line
    suite_file: Path | None,
    message: str,
    event_time: str | None,
) -> None:
    """Add the rows of the file SOURCE (CSV, TSV, Parquet) as a version of DATASET."""
    suite = None if suite_file is None else _read_suite(suite_file)
    mode: Literal["append", "replace"] = "append" if append else "replace"
    with output.app() as loop:
        version = loop.data.add(
            dataset, source, suite=suite, message=message, mode=mode, event_time=event_time
        )
    if version.is_unchanged:
        output.note(f"unchanged: {version.ref} has this very content")
    if version.quarantine:
        output.note(f"some rows were put aside: everloop data head {version.quarantine}")
    output.table([version], ["ref", "rows", "size_bytes", "digest", "created_at"])


@data.command("ls")
def list_datasets() -> None:
    """List the datasets."""
    with output.app() as loop:
        output.table(loop.data.list(limit=1_000), ["name", "latest", "created_at"])


@data.command()
@click.argument("dataset")
def versions(dataset: str) -> None:
    """List the versions of DATASET, newest first."""
    with output.app() as loop:
        found = loop.data.versions(dataset)
    output.table(found, ["ref", "created_at", "rows", "size_bytes", "parent", "message", "quarantine"])


@data.command()
@click.argument("ref")
def show(ref: str) -> None:
    """Show the version REF: flights, flights@v12, flights@2013-02-01."""
    with output.app() as loop:
        version = loop.data.version(ref)
    if output.session().form != "table":
        output.record(version)
        return
    output.record({name: getattr(version, name) for name in (
        "ref", "digest", "rows", "size_bytes", "parent", "message", "event_time", "created_at", "created_by", "quarantine",
    )})  # fmt: skip
    output.table(version.columns, ["name", "type"])
    if version.suite is not None:
        _print_results(version.suite.results)


@data.command()
@click.argument("ref")
def profile(ref: str) -> None:
    """Show the statistics of each column of REF."""
    with output.app() as loop:
        found = loop.data.profile(ref)
    columns = ["name", "type", "nulls", "distinct", "minimum", "mean", "maximum", "std", "earliest", "latest"]
    output.table(found.columns, columns)


@data.command()
@click.argument("ref")
@click.argument("suite_file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def check(ref: str, suite_file: Path) -> None:
    """Run the checks of SUITE_FILE (JSON) against REF; exit code 1 when one of severity fail fails."""
    with output.app() as loop:
        run = loop.data.check(ref, suite=_read_suite(suite_file))
    if output.session().form == "json":
        output.record(run)
    else:
        _print_results(run.result.results)
    output.note(f"suite {run.suite.name}: {run.result.verdict}")
    if run.result.verdict == "failed":
        raise SystemExit(1)


@data.command()
@click.argument("dataset")
def quarantine(dataset: str) -> None:
    """List the versions that hold the rows the checks of DATASET put aside."""
    with output.app() as loop:
        output.table(loop.data.quarantine(dataset), ["ref", "created_at", "rows"])


@data.command()
@click.argument("old")
@click.argument("new")
def diff(old: str, new: str) -> None:
    """Show what changed from version OLD to version NEW."""
    with output.app() as loop:
        output.record(loop.data.diff(old, new))


@data.command()
@click.argument("ref")
@click.option("--rows", "-n", default=10, show_default=True, help="How many rows.")
def head(ref: str, rows: int) -> None:
    """Print the first rows of REF."""
    with output.app() as loop:
        found = loop.data.read(ref).head(rows)
    output.table(found.to_arrow().to_pylist(), found.column_names)


@data.command()
@click.argument("ref")
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path))
def get(ref: str, target: Path) -> None:
    """Write the rows of REF to the file TARGET (.parquet or .csv)."""
    with output.app() as loop:
        found = loop.data.read(ref)
        _write(found, target)
    output.note(f"wrote {found.num_rows:,} rows of {found.name} to {target}")


def _write(table: Table, target: Path) -> None:
    import pyarrow.csv
    import pyarrow.parquet

    partial = target.with_name(f"{target.name}.partial")
    if target.suffix == ".csv":
        pyarrow.csv.write_csv(table.to_arrow(), partial)
    elif target.suffix in (".parquet", ".pq"):
        pyarrow.parquet.write_table(table.to_arrow(), partial, compression="zstd")
    else:
        raise click.UsageError(f"{target} must end in .parquet or .csv")
    partial.replace(target)


def _read_suite(file: Path) -> Suite:
    import msgspec

    from everloop.core.errors import InvalidInputError
    from everloop.data.records import Suite

    try:
        return msgspec.json.decode(file.read_bytes(), type=Suite)
    except msgspec.DecodeError as error:
        raise InvalidInputError(
            f"{file} is no suite: {error}. Its form is "
            '{"name": "flights", "checks": [{"kind": "not_null", "column": "dest", "severity": "fail"}]}.',
            subject=str(file),
        ) from error


def _print_results(results: list[CheckResult]) -> None:
    rows = [
        {
            "check": one.check.title,
            "severity": one.check.severity,
            "passed": "yes" if one.is_passed else "no",
            "reason": one.reason,
        }
        for one in results
    ]
    output.table(rows, ["check", "severity", "passed", "reason"])
