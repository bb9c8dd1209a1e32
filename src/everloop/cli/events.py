"""`everloop events`: the log and the proof that nobody changed it. Tests: tests/integration/test_cli.py."""

from __future__ import annotations

from pathlib import Path

import click

from everloop.cli import output


@click.group()
def events() -> None:
    """List, verify and sign the event log."""


@events.command("ls")
@click.option("--after", default=0, help="Start after this position.")
@click.option("--limit", default=100, help="At most this many.")
@click.option("--kind", default="", help="Only this kind, for example model.promoted.")
@click.option("--subject", default="", help="Only this subject, for example model:delays@v3.")
def list_events(after: int, limit: int, kind: str, subject: str) -> None:
    """List events in order."""
    with output.app() as loop:
        found = loop.system.events(after=after, limit=limit, kind=kind, subject=subject)
    output.table(found, ["position", "time", "actor", "kind", "subject", "payload"])


@events.command()
@click.option(
    "--checkpoint",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A checkpoint exported earlier.",
)
def verify(file: Path | None) -> None:
    """Check the hash chain; name the first event that was changed, moved or removed."""
    from everloop.kernel.events.chain import read_checkpoint

    with output.app() as loop:
        found = loop.system.verify_events(against=read_checkpoint(file) if file else None)
    if output.session().form != "table":
        output.record(found)
    elif found.is_intact:
        tail = f", {found.unsealed} at the tail not sealed yet" if found.unsealed else ""
        click.echo(f"intact: {found.sealed} events in the chain{tail}")
        if file is None:
            output.note("A cut-off end shows only against a checkpoint kept elsewhere: --checkpoint FILE.")
    else:
        click.echo(f"BROKEN at event {found.first_bad}: {found.reason}")
    if not found.is_intact:
        raise SystemExit(1)


@events.command()
@click.option(
    "--to",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Append the checkpoint to this file.",
)
def checkpoint(file: Path | None) -> None:
    """Sign the end of the log; keep the result where nobody who can write the catalog can write."""
    import msgspec

    with output.app() as loop:
        made = loop.system.checkpoint()
    if file is None:
        output.echo_json(made)
        return
    with file.open("ab") as handle:
        handle.write(msgspec.json.encode(made) + b"\n")
    output.note(f"checkpoint of event {made.position} appended to {file}")


@events.command()
@click.argument("subject")
def lineage(subject: str) -> None:
    """Show what read and wrote SUBJECT, for example model:delays@v3."""
    with output.app() as loop:
        output.table(loop.system.lineage(subject), ["source", "verb", "target"])
