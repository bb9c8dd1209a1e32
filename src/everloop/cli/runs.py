"""`everloop runs`. Tests: tests/integration/test_cli_pipelines.py."""

from __future__ import annotations

import click

from everloop.cli import output


@click.group()
def runs() -> None:
    """List tracked runs; show their params, metrics and artifacts."""


@runs.command("ls")
@click.option("--experiment", default="", help="Only of this experiment.")
@click.option("--status", default="", help="running, finished, failed or killed.")
@click.option("--limit", default=50, show_default=True, help="At most this many.")
@click.option("--after", default="", help="Id of the last run of the page before.")
def list_runs(experiment: str, status: str, limit: int, after: str) -> None:
    """List runs, newest first."""
    with output.app() as loop:
        found = loop.tracking.list(experiment=experiment, status=status, limit=limit, after=after)
    rows = [
        {
            "id": run.id,
            "created_at": run.created_at,
            "experiment": run.experiment,
            "name": run.name,
            "status": run.status,
            "params": run.params,
            "metrics": {metric.name: metric.value for metric in run.metrics},
        }
        for run in found
    ]
    output.table(rows, ["id", "created_at", "experiment", "name", "status", "params", "metrics"])


@runs.command()
@click.argument("run_id")
def show(run_id: str) -> None:
    """Show the run RUN_ID."""
    with output.app() as loop:
        output.record(loop.tracking.get_run(run_id))


@runs.command()
@click.argument("run_id")
@click.option("--name", default="", help="Only this metric.")
@click.option("--limit", default=10_000, show_default=True, help="At most this many points.")
def metrics(run_id: str, name: str, limit: int) -> None:
    """Print the points of the metrics of RUN_ID."""
    with output.app() as loop:
        output.table(loop.tracking.history(run_id, name=name, limit=limit), ["name", "step", "value", "time"])


@runs.command()
@click.argument("run_id")
def artifacts(run_id: str) -> None:
    """List the artifacts of RUN_ID."""
    with output.app() as loop:
        output.table(loop.tracking.artifacts(run_id), ["name", "digest", "size_bytes", "created_at"])


@runs.command()
def experiments() -> None:
    """List experiments with the number of their runs."""
    with output.app() as loop:
        output.table(loop.tracking.experiments(), ["name", "runs", "created_at"])


@runs.command()
@click.argument("run_id")
@click.option(
    "--status",
    type=click.Choice(["finished", "failed", "killed"]),
    default="killed",
    show_default=True,
    help="How it ended.",
)
def finish(run_id: str, status: str) -> None:
    """Close RUN_ID, whose process went away without doing so."""
    with output.app() as loop:
        output.record(loop.tracking.finish_run(run_id, status=status))  # type: ignore[arg-type] # one of the three choices
