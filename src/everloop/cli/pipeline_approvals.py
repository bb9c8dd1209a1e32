"""`everloop pipeline approvals`, `approve`, `reject` and `pool`. Tests: tests/integration/test_cli_pipelines.py."""

from __future__ import annotations

from typing import Literal

import click

from everloop.cli import output

_COLUMNS = ["run", "node", "pipeline", "role", "message", "asked_at", "expires_at", "decision", "decided_by"]


@click.command()
@click.option("--run", default="", help="Only of this run.")
@click.option("--all", "everything", is_flag=True, help="Answered ones too.")
def approvals(run: str, everything: bool) -> None:  # noqa: FBT001 - a flag of the command line
    """List what runs ask people."""
    with output.app() as loop:
        output.table(loop.pipelines.approvals(run=run, is_open=not everything), _COLUMNS)


@click.command()
@click.argument("run_id")
@click.argument("node", default="approve")
@click.option("--comment", "-m", default="", help="Why, for people.")
def approve(run_id: str, node: str, comment: str) -> None:
    """Say yes to what RUN_ID asks at NODE; a worker goes on with it."""
    _decide(run_id, node, "approved", comment)


@click.command()
@click.argument("run_id")
@click.argument("node", default="approve")
@click.option("--comment", "-m", default="", help="Why, for people.")
def reject(run_id: str, node: str, comment: str) -> None:
    """Say no to what RUN_ID asks at NODE; what needs the value does not run."""
    _decide(run_id, node, "rejected", comment)


@click.command()
@click.argument("name")
@click.argument("slots", type=int)
def pool(name: str, slots: int) -> None:
    """Let at most SLOTS runs of the pool NAME be executed at a time by workers."""
    with output.app() as loop:
        output.record(loop.pipelines.set_pool(name, slots=slots))


def _decide(run_id: str, node: str, decision: Literal["approved", "rejected"], comment: str) -> None:
    with output.app() as loop:
        found = loop.pipelines.decide(run_id, node, decision=decision, comment=comment)
        run = loop.pipelines.get(run_id)
    output.record({"run": run_id, "node": node, "decision": found.decision, "status": run.status})
    if run.status == "queued":
        output.note(f"a worker of `everloop up` goes on with it, or `everloop resume {run_id}` here")
