"""`everloop backup`. Tests: tests/integration/test_backup.py."""

from __future__ import annotations

from pathlib import Path

import click

from everloop.cli import output


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def backup(file: Path) -> None:
    """Copy everything into FILE: catalog, objects, prediction logs, keys. It holds secrets; keep it safe."""
    from everloop.kernel.backup import back_up

    with output.app() as loop:
        output.record(back_up(loop.kernel, file.absolute()))
