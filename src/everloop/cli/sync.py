"""`everloop sync`. Tests: tests/integration/test_cli_tracking.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from everloop.cli import output

if TYPE_CHECKING:
    from everloop.tracking.syncing import Synced


@click.command()
@click.option(
    "--closed",
    is_flag=True,
    help="Also drop spools of runs without an end; only when their processes are gone.",
)
def sync(closed: bool) -> None:  # noqa: FBT001 - click's flag
    """Send what runs logged while their home was away; nothing is sent twice."""

    def told(one: Synced) -> None:
        output.note(f"run {one.run}: {one.points:,} points, {one.entries} entries, {one.status}")

    with output.app() as loop:
        found = loop.tracking.sync(closed=closed, told=told)
    output.table(found, ["run", "status", "points", "entries", "error"])
    if any(one.status in ("away", "refused") for one in found):
        raise SystemExit(1)
