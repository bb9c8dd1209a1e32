"""The commands of `everloop pipeline` about backfills, and the worker. Tests: tests/integration/test_schedules_cli.py."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from everloop.cli import output

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from everloop.app import App
    from everloop.pipelines.schedule_records import Backfill

_COLUMNS = ["id", "pipeline", "param", "cadence", "status", "counts", "workers", "created_at"]
_POLL_S = 0.2


@click.command()
@click.argument("name")
@click.option("--from", "start", required=True, help="First date, 2013-01-01, or time.")
@click.option("--to", "end", required=True, help="Last date or time, included.")
@click.option("--param", required=True, help="The input that gets each date.")
@click.option("--every", default="1d", show_default=True, help="Interval between dates.")
@click.option("--cron", default="", help="Five fields, instead of --every.")
@click.option("--timezone", default="UTC", show_default=True, help="IANA name.")
@click.option("-p", "params", multiple=True, help="Another input as name=value.")
@click.option("--workers", default=2, show_default=True, help="Runs at a time.")
@click.option("--reverse", "is_reversed", is_flag=True, help="The latest date first.")
@click.option("--detach", is_flag=True, help="Leave it to the workers of `everloop up` and do not wait.")
def backfill(name: str, params: tuple[str, ...], *, detach: bool, **options: Any) -> None:  # noqa: ANN401 - each with its option's type
    """Run the registered pipeline NAME for each date of a span; exit code 1 when a date failed.

    Dates that finished before are left alone. In a local home this command works itself, in --workers processes;
    connected to a server it waits for the workers there.
    """
    from everloop.cli.run import parse_param

    with output.app() as loop:
        found = loop.pipelines.backfill(name, inputs=dict(parse_param(item) for item in params), **options)
        if not detach:
            with _working(loop, found) as workers:
                found = _wait(loop, found, workers)
    output.record(found)
    if not detach and found.status != "finished":
        output.note(f"`everloop pipeline backfill-dates {found.id}` names the dates that are not finished")
        raise SystemExit(1)


def _wait(loop: App, found: Backfill, workers: Sequence[subprocess.Popen[bytes]]) -> Backfill:
    shown = ""
    while found.status == "running":
        text = _progress(found)
        if text != shown and sys.stderr.isatty():
            click.echo(f"\r\x1b[K{text}", err=True, nl=False)
            shown = text
        time.sleep(_POLL_S)
        have_ended = bool(workers) and all(worker.poll() is not None for worker in workers)
        found = loop.pipelines.get_backfill(found.id)
        if have_ended and found.status == "running":
            raise click.ClickException("every worker has ended; see above. The same command goes on.")
    if shown:
        click.echo("\r\x1b[K", err=True, nl=False)
    output.note(_progress(found))
    return found


def _progress(found: Backfill) -> str:
    done, total = found.counts.get("finished", 0), sum(found.counts.values())
    rest = ", ".join(
        f"{number} {state}" for state, number in sorted(found.counts.items()) if state != "finished"
    )
    return f"{found.pipeline}: {done} of {total} dates finished" + (f", {rest}" if rest else "")


@contextmanager
def _working(loop: App, found: Backfill) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run workers of our own for the length of the block, unless a server has them."""
    if loop.kernel.is_remote or found.status != "running":
        yield []
        return
    command = [sys.executable, "-m", "everloop", "--home", str(loop.kernel.settings.home), "pipeline", "work"]
    command += ["--backfill", found.id]
    left = found.counts.get("open", 0)
    workers = [subprocess.Popen(command) for _ in range(min(found.workers, left))]  # noqa: S603 - our own program
    try:
        yield workers
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait()


@click.command()
@click.option("--backfill", "backfill_id", default="", help="Until this backfill has ended.")
def work(backfill_id: str) -> None:
    """Execute queued runs in this process until none is left."""
    with output.app() as loop:
        if loop.kernel.is_remote:
            raise click.UsageError("work where the home is: unset EVERLOOP_URL and give --home.")
        count = loop.pipelines.work()
        while backfill_id and loop.pipelines.get_backfill(backfill_id).status == "running":
            time.sleep(_POLL_S)
            count += loop.pipelines.work()
    if not backfill_id:
        output.record({"runs": count})


@click.command()
@click.argument("backfill_id", required=False, default="")
def backfills(backfill_id: str) -> None:
    """List backfills, or show BACKFILL_ID."""
    with output.app() as loop:
        if backfill_id:
            output.record(loop.pipelines.get_backfill(backfill_id))
        else:
            output.table(loop.pipelines.backfills(), _COLUMNS)


@click.command("backfill-dates")
@click.argument("backfill_id")
def backfill_dates(backfill_id: str) -> None:
    """List the dates of BACKFILL_ID with their runs."""
    with output.app() as loop:
        dates = loop.pipelines.backfill_dates(backfill_id, limit=100_000)
    output.table(dates, ["nominal", "status", "run", "error"])


@click.command("backfill-pause")
@click.argument("backfill_id")
def backfill_pause(backfill_id: str) -> None:
    """Start no further date of BACKFILL_ID."""
    with output.app() as loop:
        output.record(loop.pipelines.pause_backfill(backfill_id))


@click.command("backfill-resume")
@click.argument("backfill_id")
def backfill_resume(backfill_id: str) -> None:
    """Go on with BACKFILL_ID: with open dates and those that failed."""
    with output.app() as loop:
        output.record(loop.pipelines.resume_backfill(backfill_id))


@click.command("backfill-cancel")
@click.argument("backfill_id")
def backfill_cancel(backfill_id: str) -> None:
    """Start no further date of BACKFILL_ID and cancel runs that wait."""
    with output.app() as loop:
        output.record(loop.pipelines.cancel_backfill(backfill_id))


COMMANDS: Sequence[click.Command] = (
    backfill, backfills, backfill_dates, backfill_pause, backfill_resume, backfill_cancel, work,
)  # fmt: skip
