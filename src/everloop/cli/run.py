"""`everloop run`. Tests: tests/integration/test_cli_pipelines.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from everloop.cli import output

if TYPE_CHECKING:
    from collections.abc import Callable

    from everloop.app import App
    from everloop.pipelines.records import PipelineRun
    from everloop.pipelines.steps import AnyPipeline


@click.command()
@click.argument("target")
@click.option(
    "--param", "-p", "params", multiple=True, help="An input as name=value; a dataset as name=flights@v3."
)
@click.option("--executor", default="inline", show_default=True, help="inline or process.")
@click.option("--workers", default=1, show_default=True, help="Steps at a time, with the process executor.")
@click.option("--no-cache", is_flag=True, help="Compute every step.")
@click.option("--refresh", multiple=True, help="Compute this step again; may be given several times.")
@click.option("--explain", is_flag=True, help="Say for each step why it ran or was taken from the cache.")
def run(
    target: str,
    params: tuple[str, ...],
    executor: str,
    workers: int,
    no_cache: bool,  # noqa: FBT001 - a flag of the command line
    refresh: tuple[str, ...],
    explain: bool,  # noqa: FBT001 - a flag of the command line
) -> None:
    """Run the pipeline TARGET: FILE, FILE:PIPELINE, or the name of a registered one."""
    pipeline = find_target(target)
    inputs = dict(parse_param(item) for item in params)
    with output.app() as loop:
        done = loop.pipelines.run(
            pipeline,
            inputs,
            executor=executor,
            workers=workers,
            cache=False if no_cache else None,
            refresh=refresh,
            listener=show_progress(),
        )
        report(loop, done, explain=explain)


def find_target(target: str) -> AnyPipeline | str:
    """Return the pipeline of `FILE[:PIPELINE]`, or the name itself when it names no file."""
    from everloop.pipelines.bundles import import_file, pipelines_in

    file, _, name = target.partition(":")
    if not file.endswith(".py"):
        return target
    found = pipelines_in(import_file(Path(file)))
    if name in found:
        return found[name]
    if not name and len(found) == 1:
        return next(iter(found.values()))
    raise click.UsageError(f"{file} has the pipelines: {', '.join(found) or 'none'}. Name one: {file}:NAME.")


def parse_param(text: str) -> tuple[str, Any]:
    """Read `name=value`; the value is JSON where it reads as such, else text."""
    name, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"--param {text}: write name=value.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def show_progress() -> Callable[[str, str, str], None]:
    """Return a listener that writes one line for each change of a step to stderr."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    colours = {
        "done": "green",
        "cached": "cyan",
        "failed": "red",
        "upstream_failed": "yellow",
        "running": "blue",
    }

    def tell(node: str, status: str, reason: str) -> None:
        colour = colours.get(status, "white")
        console.print(
            f"[{colour}]{status:>16}[/{colour}]  {node}" + (f"  [dim]{reason}[/dim]" if reason else "")
        )

    return tell


def report(loop: App, done: PipelineRun, *, explain: bool) -> None:
    """Print how a run ended; a run that failed ends the command with code 1."""
    if explain:
        output.table(
            loop.pipelines.explain(done.id), ["node", "status", "sentence", "compared_with", "opaque"]
        )
    else:
        facts = {
            "run": done.id,
            "pipeline": done.pipeline,
            "status": done.status,
            "error": done.error,
            "note": done.note,
        }
        steps = [{"node": step.node, "status": step.status, "attempts": step.attempts} for step in done.steps]
        output.record({**{name: fact for name, fact in facts.items() if fact}, "steps": steps})
    if done.status != "finished":
        output.note(
            f"`everloop pipeline logs {done.id}` shows the tracebacks; `everloop resume {done.id}` goes on."
        )
        raise SystemExit(1)
