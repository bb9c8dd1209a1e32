"""`everloop resume`. Tests: tests/integration/test_cli_pipelines.py."""

from __future__ import annotations

import click

from everloop.cli import output


@click.command()
@click.argument("run_id")
def resume(run_id: str) -> None:
    """Go on with the pipeline run RUN_ID at the steps that are missing, with the code it was started with."""
    from everloop.cli.run import report, show_progress

    with output.app() as loop:
        done = loop.pipelines.resume(run_id, listener=show_progress())
        if done.note:
            output.note(done.note)
        report(loop, done, explain=False)
