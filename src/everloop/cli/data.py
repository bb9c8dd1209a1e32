"""`everloop data`. Tests: tests/integration/test_data_cli.py."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from everloop.cli import data_checks, data_personal, data_retention, output
from everloop.cli.data_checks import print_results
from everloop.cli.data_import import importing, stream

if TYPE_CHECKING:
    from everloop.data.records import DatasetVersion, RowDiff


@click.group()
def data() -> None:
    """Add, list, profile, check and compare datasets."""


for _command in [*data_checks.COMMANDS, *data_personal.COMMANDS, *data_retention.COMMANDS]:
    data.add_command(_command)


@data.command()
@click.argument("dataset")
@click.argument("source", metavar="SOURCE")
@click.option("--append", "mode", flag_value="append", help="Put the rows after those of the latest version.")
@click.option(
    "--upsert", "mode", flag_value="upsert", help="Put the rows in place of those with the same keys."
)
@click.option("--replace", "mode", flag_value="replace", default=True, hidden=True)
@click.option("--branch", default="main", show_default=True, help="Where the version is added.")
@click.option("--key", "keys", multiple=True, help="A column that names a row; repeat it for several.")
@click.option("--encoding", default=None, help="Of a text file that is not UTF-8: latin-1, cp1252, ...")
@click.option("--suite", "suite_file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="TOML or JSON file with a suite of checks.")  # fmt: skip
@click.option("--message", "-m", default="", help="Why, for people.")
@click.option("--event-time", default=None, help="Column that says when a row's fact happened.")
@click.option("--known-time", default=None, help="Column that says when it became known.")
def add(
    dataset: str,
    source: str,
    *,
    mode: Literal["append", "replace", "upsert"],
    suite_file: Path | None,
    encoding: str | None,
    keys: tuple[str, ...],
    **given: Any,  # noqa: ANN401 - options that `add` takes under the same names
) -> None:
    """Add the rows of SOURCE as a version of DATASET.

    SOURCE is a file (CSV, TSV, JSON lines, Parquet, Arrow, Excel; also .gz, .zst, .bz2), a folder or a quoted pattern of such
    files, or a URL (s3://, gs://, az://, https://).
    """
    from everloop.data.records import Suite

    suite = None if suite_file is None else Suite.read(suite_file)
    options = {} if encoding is None else {"encoding": encoding}
    with output.app() as loop:
        version = loop.data.add(
            dataset, source, suite=suite, mode=mode, keys=list(keys) or None, **given, **options
        )
    _print_added(version)


@data.command("add-files")
@click.argument("dataset")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--branch", default="main", show_default=True, help="Where the version is added.")
@click.option("--message", "-m", default="", help="Why, for people.")
@click.option(
    "--link", is_flag=True, help="Leave the bytes where they are; do not edit the files in place afterwards."
)
def add_files(
    dataset: str,
    folder: Path,
    branch: str,
    message: str,
    link: bool,  # noqa: FBT001 - a flag of the command line
) -> None:
    """Add all files of FOLDER as a version of DATASET; files that did not change are not read again."""
    with output.app() as loop, output.progress("reading") as told:
        if link:
            version = loop.data.link_files(dataset, folder, branch=branch, message=message)
        else:
            version = loop.data.add_files(dataset, folder, branch=branch, message=message, told=told)
    if version.is_unchanged:
        output.note(f"unchanged: {version.ref} has these very files")
    output.table([version], ["ref", "files", "size_bytes", "stored_bytes", "digest", "created_at"])


@data.command()
@click.argument("ref")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def status(ref: str, folder: Path) -> None:
    """Show how FOLDER differs from the files of REF; exit code 1 when it does."""
    with output.app() as loop:
        found = loop.data.status(ref, folder)
    if output.session().form == "json":
        output.record(found)
    else:
        kinds = {"added": found.added, "modified": found.modified, "deleted": found.deleted}
        rows = [{"change": kind, "path": path} for kind, paths in kinds.items() for path in paths]
        if rows:
            output.table(rows, ["change", "path"])
        output.note(f"{found.unchanged:,} files as in {ref}, {len(rows):,} not")
        for one in found.changed_originals:
            output.note(
                f"{one.path} of {ref} can no longer be read: {one.original}, where it was linked, is {one.reason}"
            )
    if not found.is_clean:
        raise SystemExit(1)


@data.command()
@click.argument("ref")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--path", "paths", multiple=True, help="Only these: a file, a folder, a quoted pattern.")
def checkout(ref: str, folder: Path, paths: tuple[str, ...]) -> None:
    """Write the files of REF into FOLDER; what is there and in no version is never overwritten."""
    with output.app() as loop, output.progress("writing") as told:
        found = loop.data.checkout(ref, folder, paths=paths, told=told)
    output.note(
        f"wrote {found.written:,} files ({found.written_bytes:,} bytes), {found.unchanged:,} were there"
    )


@data.command("diff-files")
@click.argument("old")
@click.argument("new")
@click.option("--limit", default=1_000, show_default=True, help="How many files to name.")
def diff_files(old: str, new: str, limit: int) -> None:
    """Show which files changed from version OLD to version NEW."""
    with output.app() as loop:
        found = loop.data.diff_files(old, new, limit=limit)
    if output.session().form == "json":
        output.record(found)
        return
    output.table(found.changes, ["kind", "path"])
    output.note(
        f"{found.added:,} added, {found.removed:,} removed, {found.changed:,} changed, {found.renamed:,} renamed, "
        f"{found.unchanged:,} unchanged"
    )


@data.command()
@click.argument("dataset")
@click.argument("url")
@click.option("--branch", default="main", show_default=True, help="The branch to bring there.")
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="NAME=VALUE",
    help="Option of the store: region, endpoint, ...",
)
def push(dataset: str, url: str, branch: str, options: tuple[str, ...]) -> None:
    """Bring a branch of DATASET to the remote URL: a folder, s3://, gs://, az://."""
    with output.app() as loop:
        found = loop.data.push(dataset, url, branch=branch, options=_options(options))
    output.note(
        f"{found.versions:,} versions, {found.objects:,} objects, {found.size_bytes:,} bytes went to {url}"
    )


@data.command()
@click.argument("dataset")
@click.argument("url")
@click.option("--branch", default="main", show_default=True, help="The branch of the remote.")
@click.option("--into", default="", help="The branch here; the same name by default.")
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="NAME=VALUE",
    help="Option of the store: region, endpoint, ...",
)
def pull(dataset: str, url: str, branch: str, into: str, options: tuple[str, ...]) -> None:
    """Bring a branch of DATASET here from the remote URL."""
    with output.app() as loop:
        found = loop.data.pull(dataset, url, branch=branch, into=into, options=_options(options))
    output.note(
        f"{found.versions:,} versions, {found.objects:,} objects, {found.size_bytes:,} bytes came; now at {found.ref}"
    )


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
    columns = [
        "ref",
        "created_at",
        "branch",
        "operation",
        "rows",
        "stored_bytes",
        "parent",
        "message",
        "quarantine",
    ]
    output.table(found, columns)


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
        "ref", "digest", "rows", "size_bytes", "stored_bytes", "keys", "branch", "operation", "parent", "message", "event_time",
        "known_time", "run", "created_at", "created_by", "quarantine",
    )})  # fmt: skip
    output.table(version.columns, ["name", "type"])
    if version.suite is not None:
        print_results(version.suite.results)


@data.command()
@click.argument("ref")
def profile(ref: str) -> None:
    """Show the statistics of each column of REF."""
    with output.app() as loop:
        found = loop.data.profile(ref)
    columns = ["name", "type", "nulls", "distinct", "minimum", "mean", "maximum", "std", "earliest", "latest"]
    output.table(found.columns, columns)


@data.command()
@click.argument("dataset")
def quarantine(dataset: str) -> None:
    """List the versions that hold the rows the checks of DATASET put aside."""
    with output.app() as loop:
        output.table(loop.data.quarantine(dataset), ["ref", "created_at", "rows"])


@data.command()
@click.argument("old")
@click.argument("new")
@click.option("--level", type=click.Choice(["schema", "statistics", "rows"]), default="rows", show_default=True,
              help="How deep to look; each level includes the one before.")  # fmt: skip
@click.option("--sample", default=10, show_default=True, help="How many rows to show.")
def diff(old: str, new: str, level: Literal["schema", "statistics", "rows"], sample: int) -> None:
    """Show what changed from version OLD to version NEW: parts, columns, distributions, rows."""
    with output.app() as loop:
        found = loop.data.diff(old, new, level=level, sample=sample)
    if output.session().form != "table":
        output.record(found)
        return
    output.record({
        "from": f"{found.old}, {found.rows_old:,} rows", "to": f"{found.new}, {found.rows_new:,} rows",
        "same content": "yes" if found.is_same else "no",
        "parts": f"{found.parts.shared} shared, {found.parts.added} added ({found.parts.bytes_added:,} bytes)",
        "columns added": [column.name for column in found.schema.added],
        "columns removed": [column.name for column in found.schema.removed],
        "types changed": {name: " -> ".join(kinds) for name, kinds in found.schema.types_changed.items()},
    })  # fmt: skip
    if found.statistics:
        output.table(found.statistics, ["name", "distance", "mean_old", "mean_new", "nulls_old", "nulls_new"])
    if found.rows is not None:
        _print_rows(found.rows)


@data.command()
@click.argument("dataset")
def refs(dataset: str) -> None:
    """List the branches and tags of DATASET."""
    with output.app() as loop:
        output.table(loop.data.refs(dataset), ["name", "kind", "version", "moved_at", "moved_by"])


@data.command()
@click.argument("dataset")
@click.argument("name")
@click.option("--at", default="main", show_default=True, help="Version to start from: v3, main~1, a date.")
def branch(dataset: str, name: str, at: str) -> None:
    """Make the branch NAME of DATASET; nothing is copied."""
    with output.app() as loop:
        output.table([loop.data.branch(dataset, name, at=at)], ["name", "kind", "version"])


@data.command()
@click.argument("dataset")
@click.argument("name")
@click.option("--at", default="main", show_default=True, help="Version to name: v3, main~1, a date.")
def tag(dataset: str, name: str, at: str) -> None:
    """Give a version of DATASET the tag NAME, which never moves."""
    with output.app() as loop:
        output.table([loop.data.tag(dataset, name, at=at)], ["name", "kind", "version"])


@data.command()
@click.argument("dataset")
@click.option("--branch", required=True, help="The branch whose latest version main shall be.")
def publish(dataset: str, branch: str) -> None:
    """Move main of DATASET to a branch, once the dataset's suite has passed."""
    with output.app() as loop:
        version = loop.data.publish(dataset, branch=branch)
    output.note(f"main is at {version.ref}")
    output.table([version], ["ref", "rows", "digest", "created_at"])


@data.command()
@click.argument("dataset")
@click.argument("branch")
@click.option("--into", default="main", show_default=True, help="The branch that moves.")
@click.option("--prefer", type=click.Choice(["none", "ours", "theirs"]), default="none", show_default=True,
              help="Whose row stands where both changed it; none refuses.")  # fmt: skip
@click.option("--message", "-m", default="", help="Why, for people.")
def merge(
    dataset: str, branch: str, into: str, prefer: Literal["none", "ours", "theirs"], message: str
) -> None:
    """Take what BRANCH of DATASET changed into another branch, row by row."""
    with output.app() as loop:
        found = loop.data.merge(dataset, branch, into=into, prefer=prefer, message=message)
    output.note(
        f"from {found.base}: {found.changed:,} rows taken over, {found.removed:,} removed, {found.conflicts:,} in conflict"
    )
    _print_added(found.version)


@data.command()
@click.argument("dataset")
@click.argument("to")
@click.option("--branch", default="main", show_default=True, help="The branch that goes back.")
@click.option("--message", "-m", default="", help="Why, for people.")
def revert(dataset: str, to: str, branch: str, message: str) -> None:
    """Add a version of DATASET with the content of the earlier one TO: v3, main~1."""
    with output.app() as loop:
        version = loop.data.revert(dataset, to, branch=branch, message=message)
    _print_added(version)


@data.command()
@click.argument("dataset")
@click.argument("where")
@click.option("--branch", default="main", show_default=True, help="The branch that moves.")
@click.option("--message", "-m", default="", help="Why, for people.")
def remove(dataset: str, where: str, branch: str, message: str) -> None:
    """Add a version of DATASET without the rows for which the SQL condition WHERE is true."""
    with output.app() as loop:
        version = loop.data.remove(dataset, where, branch=branch, message=message)
    _print_added(version)


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
@click.option("--column", "columns", multiple=True, help="Only this column; repeat it for several.")
@click.option("--where", default="", help="Only rows for which this SQL condition is true.")
def get(ref: str, target: Path, columns: tuple[str, ...], where: str) -> None:
    """Write the rows of REF to the file TARGET: .parquet, .arrow, .csv, .jsonl, .csv.gz, .jsonl.zst."""
    with output.app() as loop:
        version = loop.data.version(ref)
        rows = loop.data.export(version.ref, target, columns=list(columns) or None, where=where)
    output.note(f"wrote {rows:,} rows of {version.ref} to {target}")


def _options(pairs: tuple[str, ...]) -> dict[str, str]:
    wrong = [pair for pair in pairs if "=" not in pair]
    if wrong:
        raise click.UsageError(f"--option takes NAME=VALUE, not {wrong[0]}")
    return dict(pair.split("=", 1) for pair in pairs)


def _print_added(version: DatasetVersion) -> None:
    if version.is_unchanged:
        output.note(f"unchanged: {version.ref} has this very content")
    if version.quarantine:
        output.note(f"some rows were put aside: everloop data head {version.quarantine}")
    columns = ["ref", "rows", "size_bytes", "stored_bytes", "digest", "created_at"]
    output.table([version], columns)


def _print_rows(rows: RowDiff) -> None:
    output.record({
        "matched by": rows.keys or "whole rows", "rows added": rows.added, "rows removed": rows.removed,
        "rows changed": rows.changed, "changes by column": rows.changed_columns,
    })  # fmt: skip
    shown = [{"before": one.before, "after": one.after} for one in rows.sample]
    if shown:
        output.table(shown, ["before", "after"])


data.add_command(importing)
data.add_command(stream)
