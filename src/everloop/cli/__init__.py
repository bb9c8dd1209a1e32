"""The command line: `everloop`. Commands load when they are called, so that help is instant.

Each noun or verb has a file of its own name here. Tests: tests/unit/cli, tests/integration/test_cli.py.
"""

from __future__ import annotations

import importlib
import os
import sys

import click

from everloop.cli.output import FORMATS, Session
from everloop.core.version import VERSION

# Command -> one line for the list; the command itself is `everloop.cli.<module>:<name>`.
COMMANDS = {
    "demo": "Watch a year of real flights go round the loop",
    "init": "Make a home and a project to start from",
    "up": "Start API, scheduler and gateway",
    "doctor": "Check this installation and its home",
    "run": "Run a pipeline from a Python file",
    "resume": "Go on with a pipeline run at the steps that are missing",
    "debug": "Look into a failed step, with its arguments and its code",
    "data": "Datasets: add, list, profile, check, compare",
    "features": "Feature views: save, materialise, look up, compare",
    "pipeline": "Pipelines, their runs and schedules",
    "runs": "Tracked runs and their metrics",
    "sync": "Send what runs logged while their home was away",
    "model": "Models: versions, aliases, gates",
    "deploy": "Put a model version behind an address",
    "predict": "Ask a deployment for predictions",
    "gateway": "Run only the process that answers predictions",
    "monitor": "Windows, drift and performance of deployments",
    "alert": "Alerts: list, acknowledge, silence",
    "loop": "Policies and cycles; why a cycle ended as it did",
    "events": "The event log: list, verify, checkpoint",
    "backup": "Copy everything into one file",
    "restore": "Fill an empty home from a backup",
    "gc": "Remove objects that nothing refers to",
    "fsck": "Check and repair stored objects",
}


class LazyGroup(click.Group):
    """Knows the commands by name and imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of a working day."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"everloop.cli.{cmd_name.replace('-', '_')}")
        found: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve a name; for an unknown one name the nearest."""
        import difflib

        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean {near[0]}?" if near else " `everloop --help` lists them."
            ctx.fail(f"there is no command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(VERSION, prog_name="everloop")
@click.option("--home", metavar="FOLDER", help="The home to work in; the nearest .everloop by default.")
@click.option("--url", metavar="URL", help="Work on a running Everloop instead of a local home.")
@click.option(
    "-o", "--output", "form", type=click.Choice(FORMATS), default="table", help="Form of what is printed."
)
@click.pass_context
def everloop(ctx: click.Context, home: str | None, url: str | None, form: str) -> None:
    """Run the closed machine-learning loop: data, training, gates, serving, monitoring, retraining."""
    ctx.obj = Session(home=home, url=url, form=form)


def main() -> None:
    """Run the command line; end with a plain sentence and a status of 1 for an error of ours."""
    from everloop.core.errors import EverloopError

    try:
        everloop(standalone_mode=False)
    except EverloopError as error:
        _report(error)
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        sys.exit(130)


def _report(error: Exception) -> None:
    from everloop.core.errors import EverloopError

    code = error.code if isinstance(error, EverloopError) else "error"
    click.echo(f"{click.style('error', fg='red', bold=True)} [{code}]: {error}", err=True)
