"""`everloop pipeline`. Tests: tests/integration/test_cli_pipelines.py."""

from __future__ import annotations

from pathlib import Path

import click

from everloop.cli import output, pipeline_backfill, pipeline_schedule, pipeline_trigger
from everloop.cli.pipeline_approvals import approvals, approve, pool, reject
from everloop.cli.pipeline_logs import logs

_RUN_COLUMNS = ["id", "created_at", "pipeline", "status", "error"]


@click.group()
def pipeline() -> None:
    """Register, list, submit and schedule pipelines; look into their runs."""


@pipeline.command()
@click.argument("target")
def register(target: str) -> None:
    """Store the code of TARGET, FILE:PIPELINE, so that schedules and workers can run it."""
    from everloop.cli.run import find_target

    found = find_target(target)
    if isinstance(found, str):
        raise click.UsageError(f"{target} is no file. Write FILE.py:PIPELINE.")
    with output.app() as loop:
        version = loop.pipelines.register(found)
    output.record({"name": version.name, "entry": version.entry, "bundle": version.bundle})


@pipeline.command("ls")
def list_pipelines() -> None:
    """List registered pipelines."""
    with output.app() as loop:
        output.table(loop.pipelines.list(), ["name", "entry", "bundle", "updated_at"])


@pipeline.command()
@click.argument("name")
def show(name: str) -> None:
    """Show the registered pipeline NAME."""
    with output.app() as loop:
        output.record(loop.pipelines.get_pipeline(name))


@pipeline.command()
@click.argument("target")
@click.option(
    "--svg", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write a picture to this file."
)
def graph(target: str, file: Path | None) -> None:
    """Draw the graph of TARGET: FILE:PIPELINE or the name of a registered one; `-o json` prints it as data."""
    from everloop.cli.run import find_target
    from everloop.pipelines.graph import draw, trace
    from everloop.pipelines.picture import picture

    found = find_target(target)
    if isinstance(found, str):
        with output.app() as loop:
            shown = loop.pipelines.get_pipeline(found).graph
    else:
        shown = trace(found).graph
    if file is not None:
        file.write_text(picture(shown), encoding="utf-8")
        output.note(f"wrote {file}")
    elif output.session().form == "json":
        output.echo_json(shown)
    else:
        click.echo(draw(shown))


@pipeline.command()
@click.argument("target")
def lint(target: str) -> None:
    """Name what in the steps of TARGET, FILE:PIPELINE, may change without its inputs; exit code 1 when there is any."""
    from everloop.cli.run import find_target
    from everloop.pipelines.graph import trace
    from everloop.pipelines.lint import lint as look

    found = find_target(target)
    if isinstance(found, str):
        raise click.UsageError(f"{target} is no file. Write FILE.py:PIPELINE.")
    remarks = look(trace(found).steps.values())
    output.table(remarks, ["step", "function", "line", "what", "advice"])
    if remarks:
        raise SystemExit(1)


@pipeline.command()
@click.argument("run_id")
@click.option("--from", "from_step", default="", help="Compute this step and all after it again.")
@click.option("--param", "-p", "params", multiple=True, help="Another value of an input, name=value.")
def rerun(run_id: str, from_step: str, params: tuple[str, ...]) -> None:
    """Run again what RUN_ID ran, with the same code, as a new run; unchanged steps come from the cache."""
    from everloop.cli.run import parse_param, report, show_progress

    inputs = dict(parse_param(item) for item in params)
    with output.app() as loop:
        done = loop.pipelines.rerun(run_id, inputs=inputs, from_step=from_step, listener=show_progress())
        report(loop, done, explain=False)


@pipeline.command()
@click.argument("name")
@click.option("--param", "-p", "params", multiple=True, help="An input as name=value.")
def submit(name: str, params: tuple[str, ...]) -> None:
    """Queue a run of the registered pipeline NAME."""
    from everloop.cli.run import parse_param

    with output.app() as loop:
        run = loop.pipelines.submit(name, dict(parse_param(item) for item in params))
    output.record({"run": run.id, "status": run.status})


@pipeline.command()
@click.option("--pipeline", "name", default="", help="Only of this pipeline.")
@click.option("--status", default="", help="Only in this state.")
@click.option("--limit", default=50, show_default=True, help="At most this many.")
def runs(name: str, status: str, limit: int) -> None:
    """List runs, newest first."""
    with output.app() as loop:
        output.table(loop.pipelines.runs(pipeline=name, status=status, limit=limit), _RUN_COLUMNS)


@pipeline.command("run")
@click.argument("run_id")
def show_run(run_id: str) -> None:
    """Show the run RUN_ID."""
    with output.app() as loop:
        output.record(loop.pipelines.get(run_id))


@pipeline.command()
@click.argument("run_id")
def steps(run_id: str) -> None:
    """List the steps of RUN_ID."""
    with output.app() as loop:
        output.table(
            loop.pipelines.steps(run_id), ["node", "status", "attempts", "reason", "started_at", "ended_at"]
        )


@pipeline.command()
@click.argument("run_id")
def cancel(run_id: str) -> None:
    """Stop RUN_ID."""
    with output.app() as loop:
        run = loop.pipelines.cancel(run_id)
    output.record({"run": run.id, "status": run.status})


@pipeline.command()
@click.argument("run_id")
def explain(run_id: str) -> None:
    """Say why each step of RUN_ID ran or was taken from the cache."""
    with output.app() as loop:
        output.table(loop.pipelines.explain(run_id), ["node", "status", "sentence", "opaque"])


for _command in (
    logs,
    approvals,
    approve,
    reject,
    pool,
    *pipeline_schedule.COMMANDS,
    *pipeline_trigger.COMMANDS,
    *pipeline_backfill.COMMANDS,
):
    pipeline.add_command(_command)
