"""`everloop runs import`: runs of other trackers. Tests: tests/unit/importers/test_sources.py."""

from __future__ import annotations

import click

from everloop.cli import output

_KINDS = ("mlflow", "wandb", "tensorboard", "neptune", "optuna", "dvc")


@click.command("import")
@click.argument("kind", type=click.Choice(_KINDS))
@click.argument("place")
@click.option("--dry-run", is_flag=True, help="Read and count everything, write nothing.")
@click.option(
    "--artifacts",
    default="",
    help="Folder with the artifacts of an MLflow server, or the files of a Neptune export.",
)
@click.option("--experiment", default="", help="Name to bring TensorBoard's runs under.")
def import_runs(kind: str, place: str, dry_run: bool, artifacts: str, experiment: str) -> None:  # noqa: FBT001 - click's flag
    """Bring the runs of another tracker from its files at PLACE, each value once however often it is called.

    Its server is not needed. What cannot be brought is listed.
    """
    from everloop.importers import bring, open_source

    options = {name: value for name, value in (("artifacts", artifacts), ("experiment", experiment)) if value}
    source = open_source(kind, place, **options)
    with output.app() as loop, output.progress("bringing runs:") as told:
        report = bring(
            loop.tracking,
            source,
            dry_run=dry_run,
            told=lambda _, found: told(found.runs, found.artifact_bytes),
        )
    output.record(report)
    verb = "would be" if dry_run else "were"
    output.note(
        f"{report.new_runs:,} of {report.runs:,} runs and {report.new_points:,} of {report.points:,} points {verb} brought;"
        f" 0 points rounded, {len(report.losses):,} things left out"
    )


COMMANDS = (import_runs,)
