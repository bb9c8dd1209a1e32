"""`everloop runs`. Tests: tests/integration/test_cli_pipelines.py."""

from __future__ import annotations

import click

from everloop.cli import output, runs_import, runs_search, runs_show


@click.group()
def runs() -> None:
    """List tracked runs; show their params, metrics and artifacts."""


for _command in (*runs_search.COMMANDS, *runs_show.COMMANDS, *runs_import.COMMANDS):
    runs.add_command(_command)


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
@click.argument("name")
@click.argument("run_ids", nargs=-1, required=True)
@click.option("--buckets", default=60, show_default=True, help="At most this many for each run.")
def chart(name: str, run_ids: tuple[str, ...], buckets: int) -> None:
    """Print the least, greatest and last value of metric NAME in each bucket of steps of RUN_IDS."""
    with output.app() as loop:
        found = loop.tracking.chart(list(run_ids), name=name, buckets=buckets)
    rows = [
        {"run": one.run, "step": step, "least": least, "greatest": greatest, "last": last, "points": count}
        for one in found
        for step, least, greatest, last, count in zip(
            one.steps, one.least, one.greatest, one.last, one.counts, strict=True
        )
    ]
    output.table(rows, ["run", "step", "least", "greatest", "last", "points"])


@runs.command()
@click.argument("run_id")
@click.option("--name", help="The new name.")
@click.option("--note", help="Text about the run.")
@click.option("--tag", "tags", multiple=True, metavar="NAME=VALUE", help="Set a label; may be repeated.")
@click.option("--remove-tag", "remove_tags", multiple=True, metavar="NAME", help="Take a label away.")
def edit(
    run_id: str, name: str | None, note: str | None, tags: tuple[str, ...], remove_tags: tuple[str, ...]
) -> None:
    """Change the name, note and tags of RUN_ID."""
    with output.app() as loop:
        output.record(
            loop.tracking.edit_run(
                run_id, name=name, note=note, tags=output.pairs(tags), remove_tags=list(remove_tags)
            )
        )


@runs.command("rm")
@click.argument("run_id")
def remove(run_id: str) -> None:
    """Put RUN_ID into the trash."""
    with output.app() as loop:
        output.record(loop.tracking.delete_run(run_id))


@runs.command()
@click.argument("run_id")
def restore(run_id: str) -> None:
    """Take RUN_ID out of the trash."""
    with output.app() as loop:
        output.record(loop.tracking.restore_run(run_id))


@runs.command()
@click.option("--deleted", is_flag=True, help="Also those in the trash.")
def experiments(deleted: bool) -> None:  # noqa: FBT001 - click's flag
    """List experiments with the number of their runs."""
    with output.app() as loop:
        output.table(
            loop.tracking.experiments(deleted=deleted), ["id", "name", "runs", "created_at", "deleted_at"]
        )


@runs.command("new-experiment")
@click.argument("name")
@click.option("--tag", "tags", multiple=True, metavar="NAME=VALUE", help="Set a label; may be repeated.")
def new_experiment(name: str, tags: tuple[str, ...]) -> None:
    """Make the experiment NAME."""
    with output.app() as loop:
        output.record(loop.tracking.create_experiment(name, tags=output.pairs(tags)))


@runs.command("edit-experiment")
@click.argument("experiment")
@click.option("--name", help="The new name.")
@click.option("--tag", "tags", multiple=True, metavar="NAME=VALUE", help="Set a label; may be repeated.")
@click.option("--remove-tag", "remove_tags", multiple=True, metavar="NAME", help="Take a label away.")
def edit_experiment(
    experiment: str, name: str | None, tags: tuple[str, ...], remove_tags: tuple[str, ...]
) -> None:
    """Change the name and tags of EXPERIMENT."""
    with output.app() as loop:
        output.record(
            loop.tracking.edit_experiment(
                experiment, name=name, tags=output.pairs(tags), remove_tags=list(remove_tags)
            )
        )


@runs.command("rm-experiment")
@click.argument("experiment")
def remove_experiment(experiment: str) -> None:
    """Put EXPERIMENT and its runs into the trash."""
    with output.app() as loop:
        output.record(loop.tracking.delete_experiment(experiment))


@runs.command("restore-experiment")
@click.argument("experiment")
def restore_experiment(experiment: str) -> None:
    """Take EXPERIMENT out of the trash, with the runs that went there with it."""
    with output.app() as loop:
        output.record(loop.tracking.restore_experiment(experiment))


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
