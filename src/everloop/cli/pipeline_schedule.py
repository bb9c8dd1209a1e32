"""The commands of `everloop pipeline` about schedules. Tests: tests/integration/test_schedules_cli.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from everloop.cli import output

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

_SCHEDULE_COLUMNS = ["id", "pipeline", "cron", "timezone", "every", "dataset", "catch_up", "is_paused"]
_UPCOMING_COLUMNS = ["at", "local", "pipeline", "schedule", "note"]
_TIME = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M"])


@click.command()
@click.argument("name")
@click.option("--cron", default="", help="Five fields, for example '0 6 * * 1'.")
@click.option("--timezone", default="UTC", show_default=True, help="IANA name for the cron fields.")
@click.option("--every", default="", help="An interval instead, for example 15m.")
@click.option("--from", "start_at", type=_TIME, help="No tick before this time, in the zone.")
@click.option("--to", "end_at", type=_TIME, help="No tick after this time, in the zone.")
@click.option("--dataset", default="", help="Run for each new version of this dataset instead.")
@click.option(
    "--dataset-input", default="", help="Parameter that gets the version; the dataset's name by default."
)
@click.option("--nominal-input", default="", help="Parameter that gets the nominal time of a tick.")
@click.option("--param", "-p", "params", multiple=True, help="An input as name=value.")
@click.option(
    "--catch-up",
    type=click.Choice(["latest", "all", "none"]),
    default="latest",
    show_default=True,
    help="For missed ticks.",
)
def schedule(name: str, params: tuple[str, ...], timezone: str, **options: Any) -> None:  # noqa: ANN401 - each with its option's type
    """Start runs of the registered pipeline NAME by time or by new data."""
    from everloop.cli.run import parse_param

    options |= {moment: _aware(options[moment], timezone) for moment in ("start_at", "end_at")}
    inputs = dict(parse_param(item) for item in params)
    with output.app() as loop:
        made = loop.pipelines.add_schedule(name, timezone=timezone, inputs=inputs, **options)
    output.record(made)


@click.command()
def schedules() -> None:
    """List schedules and triggers."""
    with output.app() as loop:
        output.table(loop.pipelines.schedules(), _SCHEDULE_COLUMNS)


@click.command()
@click.argument("schedule_id")
def pause(schedule_id: str) -> None:
    """Stop SCHEDULE_ID from starting runs."""
    with output.app() as loop:
        output.record(loop.pipelines.pause_schedule(schedule_id))


@click.command()
@click.argument("schedule_id")
def start(schedule_id: str) -> None:
    """Let SCHEDULE_ID start runs again, from now on."""
    with output.app() as loop:
        output.record(loop.pipelines.start_schedule(schedule_id))


@click.command()
@click.argument("schedule_id")
def ticks(schedule_id: str) -> None:
    """List the latest ticks of SCHEDULE_ID and the runs they started."""
    with output.app() as loop:
        output.table(loop.pipelines.ticks(schedule_id), ["nominal", "run", "created_at"])


@click.command()
@click.option("--hours", default=24.0, show_default=True, help="How far to look ahead.")
@click.option("--pipeline", "name", default="", help="Only of this pipeline.")
def upcoming(hours: float, name: str) -> None:
    """List every tick of the next hours by time; `at` is in UTC."""
    with output.app() as loop:
        output.table(loop.pipelines.upcoming(hours=hours, pipeline=name), _UPCOMING_COLUMNS)


def _aware(moment: datetime | None, timezone: str) -> datetime | None:
    """Read a wall clock time in a zone."""
    from zoneinfo import ZoneInfo

    from everloop.pipelines.moments import check_timezone

    check_timezone(timezone)
    return None if moment is None else moment.replace(tzinfo=ZoneInfo(timezone))


COMMANDS: Sequence[click.Command] = (schedule, schedules, pause, start, ticks, upcoming)
