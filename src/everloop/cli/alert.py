"""`everloop alert`. Tests: tests/integration/test_cli.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from everloop.cli import output

if TYPE_CHECKING:
    from everloop.alerting.records import ChannelKind


@click.group()
def alert() -> None:
    """List, acknowledge and silence alerts; set channels."""


@alert.command("ls")
@click.option("--open", "is_open", is_flag=True, help="Only those not resolved.")
@click.option("--subject", default="", help="Only of this subject, for example deployment:delays.")
def list_alerts(is_open: bool, subject: str) -> None:  # noqa: FBT001 - a flag of the command line
    """List alerts, newest first."""
    with output.app() as loop:
        found = loop.alerting.list(is_open=is_open, subject=subject)
    output.table(found, ["id", "opened_at", "severity", "state", "subject", "rule", "message"])


@alert.command()
@click.argument("alert_id")
@click.option("--comment", default="", help="Kept with the acknowledgement.")
def ack(alert_id: str, comment: str) -> None:
    """Take ALERT_ID on oneself."""
    with output.app() as loop:
        output.record(loop.alerting.acknowledge(alert_id, comment=comment))


@alert.command()
@click.argument("subject")
@click.argument("rule")
@click.option("--for", "duration", required=True, help="How long, for example 7d.")
@click.option("--reason", required=True, help="Why; it is kept.")
def silence(subject: str, rule: str, duration: str, reason: str) -> None:
    """Let RULE of SUBJECT not fire for a while."""
    with output.app() as loop:
        output.record(loop.alerting.silence(subject, rule, duration=duration, reason=reason))


@alert.command()
@click.argument("name")
@click.option("--kind", type=click.Choice(["terminal", "file", "webhook"]), required=True)
@click.option("--target", default="", help="File name, or address of the webhook.")
@click.option("--secret", default="", help="env:NAME or file:PATH of the signing secret.")
def channel(name: str, kind: ChannelKind, target: str, secret: str) -> None:
    """Add or replace the channel NAME."""
    with output.app() as loop:
        output.record(loop.alerting.set_channel(name, kind=kind, target=target, secret=secret))


@alert.command()
def channels() -> None:
    """List the channels."""
    with output.app() as loop:
        output.table(loop.alerting.channels(), ["name", "kind", "target", "severities"])


@alert.command()
@click.option("--alert", "alert_id", default="", help="Only of this alert.")
def deliveries(alert_id: str) -> None:
    """List messages and how they went."""
    with output.app() as loop:
        output.table(
            loop.alerting.deliveries(alert_id=alert_id),
            ["id", "alert", "channel", "kind", "attempts", "delivered_at", "error"],
        )
