"""The commands of `everloop pipeline` about triggers. Tests: tests/integration/test_triggers_cli.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from everloop.cli import output

if TYPE_CHECKING:
    from collections.abc import Sequence

_COLUMNS = ["name", "pipeline", "on", "what", "subject", "max_active", "debounce_s", "when_busy", "is_paused"]


@click.command()
@click.argument("name")
@click.argument("pipeline_name", metavar="PIPELINE")
@click.option(
    "--on",
    type=click.Choice(["event", "dataset", "alert", "file", "webhook"]),
    required=True,
    help="What to watch.",
)
@click.option(
    "--what", default="", help="Event kind, DATASET[@BRANCH], rule of alerts, or path or URL with a pattern."
)
@click.option(
    "--subject", default="*", show_default=True, help="Pattern for the subject of an event or alert."
)
@click.option("--where", multiple=True, help="A field of the payload and its value, field=value.")
@click.option("--cause-input", default="", help="Parameter that gets the subject, the version or the file.")
@click.option("--accepts", multiple=True, help="Parameter that the body of a webhook may set.")
@click.option("--secret", default="", help="env:NAME, the server's variable with a webhook's secret.")
@click.option(
    "--stable", "stable_s", default=10.0, show_default=True, help="Seconds a file must keep its size."
)
@click.option("--existing", is_flag=True, help="Count files that are there already.")
@click.option("--max-active", default=0, help="At most so many of its runs at once; 0 for no limit.")
@click.option(
    "--debounce", "debounce_s", default=0.0, help="Run once, when nothing came for so many seconds."
)
@click.option(
    "--when-busy", type=click.Choice(["queue", "latest", "skip"]), default="queue", show_default=True,
    help="For causes beyond --max-active.",
)  # fmt: skip
@click.option("--param", "-p", "params", multiple=True, help="An input as name=value.")
def trigger(name: str, pipeline_name: str, params: tuple[str, ...], **options: Any) -> None:  # noqa: ANN401 - each with its option's type
    """Start runs of the registered PIPELINE for what happens, as trigger NAME."""
    from everloop.cli.run import parse_param

    options |= {
        "where": dict(parse_param(item) for item in options["where"]),
        "accepts": list(options["accepts"]),
        "inputs": dict(parse_param(item) for item in params),
    }
    with output.app() as loop:
        output.record(loop.pipelines.add_trigger(name, pipeline_name, **options))


@click.command()
def triggers() -> None:
    """List triggers."""
    with output.app() as loop:
        output.table(loop.pipelines.triggers(), _COLUMNS)


@click.command()
@click.argument("name")
def causes(name: str) -> None:
    """List the latest causes of trigger NAME and the runs they started."""
    with output.app() as loop:
        output.table(loop.pipelines.causes(name), ["cause", "status", "run", "reason", "seen_at"])


@click.command("trigger-pause")
@click.argument("name")
def pause(name: str) -> None:
    """Stop trigger NAME."""
    with output.app() as loop:
        output.record(loop.pipelines.pause_trigger(name))


@click.command("trigger-start")
@click.argument("name")
def start(name: str) -> None:
    """Let trigger NAME start runs again, from now on."""
    with output.app() as loop:
        output.record(loop.pipelines.start_trigger(name))


@click.command("trigger-delete")
@click.argument("name")
def delete(name: str) -> None:
    """Delete trigger NAME; its runs stay."""
    with output.app() as loop:
        output.record(loop.pipelines.delete_trigger(name))


COMMANDS: Sequence[click.Command] = (trigger, triggers, causes, pause, start, delete)
