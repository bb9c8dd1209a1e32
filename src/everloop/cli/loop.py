"""`everloop loop`. Tests: tests/integration/test_cli_loop.py."""

from __future__ import annotations

import click

from everloop.cli import output

_CYCLE = ["number", "id", "state", "cause", "champion", "challenger", "began_at", "updated_at"]


@click.group()
def loop() -> None:
    """Look at policies and cycles; begin, hold and explain them."""


@loop.command("ls")
def list_policies() -> None:
    """List the policies in force."""
    with output.app() as app:
        found = app.loop.policies()
    if output.session().form == "json":
        output.echo_json(found)
        return
    rows = [
        {
            "model": active.policy.model,
            "pipeline": active.policy.pipeline,
            "data": active.policy.data,
            "is_paused": active.is_paused,
            "started_at": active.started_at,
            "digest": active.digest,
        }
        for active in found
    ]
    output.table(rows, ["model", "pipeline", "data", "is_paused", "started_at", "digest"])


@loop.command()
@click.argument("model")
@click.option("--limit", default=100, help="At most this many.")
@click.option("--before", default=0, help="Only those below this number.")
def cycles(model: str, limit: int, before: int) -> None:
    """List the cycles of MODEL, newest first."""
    with output.app() as app:
        output.table(app.loop.cycles(model, limit=limit, before=before), _CYCLE)


@loop.command()
@click.argument("cycle")
def show(cycle: str) -> None:
    """Show CYCLE, by its id or as delays/3."""
    with output.app() as app:
        output.record(app.loop.find(cycle))


@loop.command()
@click.argument("cycle")
def explain(cycle: str) -> None:
    """Tell why CYCLE, by its id or as delays/3, ended as it did."""
    with output.app() as app:
        if output.session().form == "json":
            output.echo_json(app.loop.find(cycle).history)
        else:
            click.echo(app.loop.explain(cycle))


@loop.command()
@click.argument("model")
def pause(model: str) -> None:
    """Begin no new cycle of MODEL; an open one goes on."""
    with output.app() as app:
        output.record(app.loop.pause(model))


@loop.command()
@click.argument("model")
def resume(model: str) -> None:
    """Let cycles of MODEL begin again."""
    with output.app() as app:
        output.record(app.loop.resume(model))


@loop.command()
@click.argument("model")
@click.option("--reason", required=True, help="Why; it is kept.")
def trigger(model: str, reason: str) -> None:
    """Begin a cycle of MODEL now, whatever its cooldown; the scheduler moves it on."""
    with output.app() as app:
        output.record(app.loop.trigger(model, reason=reason))
