"""`everloop model`. Tests: tests/integration/test_cli_models.py."""

from __future__ import annotations

import click

from everloop.cli import model_edit, output


@click.group()
def model() -> None:
    """Look at models, their versions, aliases, gates and evaluations."""


for _command in model_edit.COMMANDS:
    model.add_command(_command)


@model.command("ls")
def list_models() -> None:
    """List the models."""
    with output.app() as loop:
        output.table(loop.registry.list(), ["name", "versions", "aliases", "created_at"])


@model.command()
@click.argument("name")
def versions(name: str) -> None:
    """List the versions of model NAME, newest first."""
    with output.app() as loop:
        found = loop.registry.versions(name)
    output.table(found, ["version", "flavor", "metrics", "data", "trained_until", "created_at", "author"])


@model.command()
@click.argument("ref")
def show(ref: str) -> None:
    """Show a version, for example delays@v7 or delays@champion."""
    with output.app() as loop:
        output.record(loop.registry.get(ref))


@model.command()
@click.argument("name")
@click.argument("alias_name", metavar="ALIAS")
@click.argument("version", type=int)
@click.option("--reason", default="", help="Kept with the move.")
def alias(name: str, alias_name: str, version: int, reason: str) -> None:
    """Move ALIAS of model NAME to VERSION."""
    with output.app() as loop:
        output.record(loop.registry.set_alias(name, alias_name, version=version, reason=reason))


@model.command()
@click.argument("name")
@click.argument("alias_name", metavar="ALIAS")
@click.option("--reason", default="", help="Kept with the move.")
def unalias(name: str, alias_name: str, reason: str) -> None:
    """Take ALIAS of model NAME away."""
    with output.app() as loop:
        output.record(loop.registry.drop_alias(name, alias_name, reason=reason))


@model.command()
@click.argument("name")
@click.argument("alias_name", metavar="ALIAS", default="champion")
def history(name: str, alias_name: str) -> None:
    """List the moves of ALIAS of model NAME, newest first."""
    with output.app() as loop:
        found = loop.registry.alias_history(name, alias_name)
    output.table(found, ["moved_at", "alias", "previous", "version", "actor", "reason"])


@model.command()
@click.argument("ref")
def gates(ref: str) -> None:
    """List the gate reports of a version with the reason of each condition."""
    with output.app() as loop:
        version = loop.registry.get(ref)
        reports = loop.registry.gate_reports(version.model, version.version)
    rows = [
        {"report": report.id, "against": report.against or "constant", "result": found.result}
        | {"condition": found.name, "reason": found.reason}
        for report in reports
        for found in report.conditions
    ]
    output.table(rows, ["report", "against", "condition", "result", "reason"])


@model.command()
@click.argument("ref")
@click.option("--comment", default="", help="Why; it is kept.")
def approve(ref: str, comment: str) -> None:
    """Approve a version on the evidence of its newest gate report."""
    with output.app() as loop:
        version = loop.registry.get(ref)
        output.record(loop.registry.approve(version.model, version.version, comment=comment))


@model.command()
@click.argument("ref")
def approvals(ref: str) -> None:
    """List the approvals of a version that still hold."""
    with output.app() as loop:
        version = loop.registry.get(ref)
        found = loop.registry.approvals(version.model, version.version)
    output.table(found, ["approved_at", "actor", "comment", "gate_report"])


@model.command()
@click.argument("ref")
def explain(ref: str) -> None:
    """List what drives a version, the most important feature first."""
    with output.app() as loop:
        found = loop.explanation.latest(subject=loop.registry.get(ref).subject)
    output.table(found.importances, ["feature", "mean_absolute", "share"])


@model.command()
@click.option("--subject", default="", help="Only of this subject, for example model:delays@v3.")
def evaluations(subject: str) -> None:
    """List stored evaluations, newest first."""
    with output.app() as loop:
        found = loop.evaluation.list(subject=subject)
    output.table(found, ["id", "created_at", "subject", "against", "data", "rows"])


@model.command()
@click.argument("evaluation_id", metavar="EVALUATION")
def evaluation(evaluation_id: str) -> None:
    """Show a stored evaluation whole."""
    with output.app() as loop:
        output.record(loop.evaluation.report(evaluation_id))
