"""`everloop pipeline logs`. Tests: tests/integration/test_cli_pipelines.py."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from everloop.cli import output

if TYPE_CHECKING:
    from everloop.app import App
    from everloop.pipelines.records import Attempt

_POLL_S = 0.3
_COLUMNS = ["node", "number", "status", "worker", "error", "log"]


@click.command()
@click.argument("run_id")
@click.option("--step", "node", default="", help="Only of this step.")
@click.option("--follow", "-f", is_flag=True, help="Go on with new lines until the run ends.")
@click.option("--search", default="", help="Only lines that hold this text.")
def logs(run_id: str, node: str, follow: bool, search: str) -> None:  # noqa: FBT001 - a flag of the command line
    """Print the log lines and tracebacks of RUN_ID, also while it runs."""
    with output.app() as loop:
        if follow:
            _follow(loop, run_id, node, search)
            return
        found = loop.pipelines.attempts(run_id, node=node)
        texts = {(one.node, one.number): _whole(loop, one, search) for one in found}
    if output.session().form != "table":
        output.table([_row(one, texts[one.node, one.number]) for one in found], _COLUMNS)
        return
    for one in found:
        output.note(f"-- {one.node}, attempt {one.number}: {one.status}")
        click.echo(texts[one.node, one.number] + ("" if search else one.error), nl=False)


def _row(attempt: Attempt, text: str) -> dict[str, object]:
    facts = (attempt.node, attempt.number, attempt.status, attempt.worker, attempt.error, text)
    return dict(zip(_COLUMNS, facts, strict=True))


def _whole(loop: App, attempt: Attempt, search: str) -> str:
    text, position = "", 0
    while True:
        page = loop.pipelines.log(
            attempt.run, attempt.node, attempt=attempt.number, after=position, search=search
        )
        text += _gap(page.dropped_bytes) + page.text
        if page.position == position:
            return text
        position = page.position


def _follow(loop: App, run_id: str, node: str, search: str) -> None:
    """Print what comes, each line with the name of its step, until the run has ended and everything is told."""
    positions: dict[tuple[str, int], int] = {}
    ended: set[tuple[str, int]] = set()
    while True:
        is_over = loop.pipelines.get(run_id).status not in {"queued", "running"}
        for attempt in loop.pipelines.attempts(run_id, node=node):
            at = attempt.node, attempt.number
            if at in ended:
                continue
            positions[at] = _print_new(loop, attempt, positions.get(at, 0), search)
            if attempt.status != "running":
                ended.add(at)
                output.note(f"-- {attempt.node}, attempt {attempt.number}: {attempt.status}")
                click.echo(attempt.error, nl=False)
        if is_over:
            return
        time.sleep(_POLL_S)


def _print_new(loop: App, attempt: Attempt, position: int, search: str) -> int:
    while True:
        page = loop.pipelines.log(
            attempt.run, attempt.node, attempt=attempt.number, after=position, search=search
        )
        for line in (_gap(page.dropped_bytes) + page.text).splitlines():
            click.echo(f"{attempt.node}  {line}")
        if page.position == position:
            return position
        position = page.position


def _gap(dropped_bytes: int) -> str:
    return f"[{dropped_bytes:,} bytes of the log were dropped here]\n" if dropped_bytes else ""
