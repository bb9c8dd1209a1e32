"""`everloop restore`. Tests: tests/integration/test_backup.py."""

from __future__ import annotations

from pathlib import Path

import click

from everloop.cli import output


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def restore(file: Path) -> None:
    """Fill the empty home (see --home) from FILE, then verify the event log."""
    from everloop.kernel.backup import restore as fill

    with output.app() as loop:
        report = fill(loop.kernel, file)
        found = loop.system.verify_events()
    output.record(report)
    output.note(
        f"event log {'intact' if found.is_intact else 'BROKEN: ' + found.reason}, {found.sealed} events"
    )
