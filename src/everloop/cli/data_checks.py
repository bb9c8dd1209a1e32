"""The commands of `everloop data` about checks. Tests: tests/integration/test_data_cli.py."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from everloop.cli import output

if TYPE_CHECKING:
    from everloop.data.records import CheckResult

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("ref")
@click.argument("suite_file", required=False, type=_FILE)
@click.option("--suite", "suite_option", type=_FILE, help="The same as SUITE_FILE.")
def check(ref: str, suite_file: Path | None, suite_option: Path | None) -> None:
    """Run the checks of SUITE_FILE (TOML or JSON) against REF; exit code 1 when one of severity fail fails.

    Without a file the suite that `everloop data suite` set is run.
    """
    from everloop.data.records import Suite

    file = suite_file or suite_option
    with output.app() as loop:
        suite = Suite.read(file) if file else loop.data.get(ref.partition("@")[0]).suite
        if suite is None:
            raise click.UsageError(
                f"{ref} has no suite of its own. Give a file, or set one: everloop data suite"
            )
        run = loop.data.check(ref, suite=suite)
    if output.session().form == "json":
        output.record(run)
    else:
        print_results(run.result.results)
    output.note(f"suite {run.suite.name}: {run.result.verdict}")
    if run.result.verdict == "failed":
        raise SystemExit(1)


@click.command()
@click.argument("dataset")
@click.argument("suite_file", required=False, type=_FILE)
def suite(dataset: str, suite_file: Path | None) -> None:
    """Let `publish` ask for the checks of SUITE_FILE (TOML or JSON) before it moves main; without a file show them."""
    from everloop.data.records import Suite
    from everloop.data.suite_files import format_suite

    with output.app() as loop:
        if suite_file is not None:
            loop.data.set_suite(dataset, suite=Suite.read(suite_file))
            output.note(f"main of {dataset} moves by publish only when these checks pass")
            return
        found = loop.data.get(dataset).suite
    if found is None:
        output.note(f"{dataset} has no suite yet")
    else:
        click.echo(format_suite(found, is_toml=output.session().form != "json"), nl=False)


@click.command()
@click.argument("ref")
@click.option("--history", default=20, show_default=True, help="How many versions to learn bounds from.")
@click.option(
    "--output", "target", type=click.Path(dir_okay=False, path_type=Path), help="TOML or JSON file to write."
)
def suggest(ref: str, history: int, target: Path | None) -> None:
    """Suggest a suite for REF from its profile and its history; edit it, then set it with `everloop data suite`."""
    from everloop.data.suite_files import format_suite

    with output.app() as loop:
        found = loop.data.infer_suite(ref, history=history)
    if target is None:
        click.echo(format_suite(found, is_toml=output.session().form != "json"), nl=False)
    else:
        found.write(target)
        output.note(f"wrote {len(found.checks)} checks to {target}")


@click.command("translate-suite")
@click.argument("file", type=_FILE)
@click.option(
    "--output", "target", type=click.Path(dir_okay=False, path_type=Path), help="TOML or JSON file to write."
)
def translate_suite(file: Path, target: Path | None) -> None:
    """Turn the suite of Great Expectations, Pandera or TFDV in FILE into one of ours.

    What could not be translated is listed on stderr.
    """
    from everloop.data.suite_files import format_suite
    from everloop.data.suite_formats import translate_suite as translate

    found = translate(file)
    if target is None:
        click.echo(format_suite(found.suite, is_toml=output.session().form != "json"), nl=False)
    else:
        found.suite.write(target)
        output.note(f"wrote {len(found.suite.checks)} checks to {target}")
    for one in found.untranslated:
        output.note(f"not translated: {one.where}: {one.rule}: {one.reason}")


@click.command("check-training")
@click.argument("ref")
@click.option("--target", required=True, help="The column to predict.")
@click.option("--test", default="", help="The version that the model is judged on.")
@click.option("--time", default="", help="Column of the moment a prediction is made.")
@click.option("--ignore", multiple=True, help="A column that the model will not see; repeat it for several.")
def check_training(ref: str, target: str, test: str, time: str, ignore: tuple[str, ...]) -> None:
    """Look for what would spoil a training on REF: leaks, repeats, overlap, wrong labels; exit code 1 when it does."""
    with output.app() as loop:
        report = loop.data.check_training(ref, target=target, test=test, time=time, ignore=list(ignore))
    if output.session().form == "json":
        output.record(report)
    else:
        output.table(report.findings, ["kind", "severity", "column", "figure", "measure", "reason"])
        for one in report.findings:
            for row in one.sample[:3]:
                output.note(f"{one.kind} {one.column}: {row}")
    for told in report.skipped:
        output.note(f"not run: {told}")
    output.note(f"{report.task} of {target} on {report.rows:,} rows: {report.verdict}")
    if report.verdict == "failed":
        raise SystemExit(1)


def print_results(results: list[CheckResult]) -> None:
    """Print what each check found."""
    rows = [
        {
            "check": one.check.title,
            "severity": one.check.severity,
            "passed": "yes" if one.is_passed else "no",
            "figure": one.figure,
            "reason": one.reason,
        }
        for one in results
    ]
    output.table(rows, ["check", "severity", "passed", "figure", "reason"])


COMMANDS = (check, check_training, suggest, suite, translate_suite)
