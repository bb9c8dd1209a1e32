"""`everloop run`. Tests: tests/integration/test_cli_pipelines.py."""

from __future__ import annotations

import difflib
import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from everloop.cli import output
from everloop.cli.run_script import check_script, has_pipeline, run_script

if TYPE_CHECKING:
    from collections.abc import Callable

    from everloop.app import App
    from everloop.pipelines.records import PipelineRun
    from everloop.pipelines.steps import AnyPipeline


@click.command(context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("target", required=False)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[--INPUT VALUE]...")
@click.option(
    "--help", "-h", "is_help", is_flag=True, help="Show this, and the inputs of TARGET when it is given."
)
@click.option(
    "--param", "-p", "params", multiple=True, help="An input as name=value; a dataset as name=flights@v3."
)
@click.option("--executor", default="", help="inline, process or ray; by default as the settings say.")
@click.option("--workers", default=0, help="Steps at a time, with the executors process and ray.")
@click.option("--no-cache", is_flag=True, help="Compute every step.")
@click.option("--refresh", multiple=True, help="Compute this step again; may be given several times.")
@click.option("--explain", is_flag=True, help="Say for each step why it ran or was taken from the cache.")
@click.pass_context
def run(  # noqa: PLR0913, PLR0917 - the options of one command
    ctx: click.Context,
    target: str | None,
    words: tuple[str, ...],
    is_help: bool,  # noqa: FBT001 - a flag of the command line
    params: tuple[str, ...],
    executor: str,
    workers: int,
    no_cache: bool,  # noqa: FBT001 - a flag of the command line
    refresh: tuple[str, ...],
    explain: bool,  # noqa: FBT001 - a flag of the command line
) -> None:
    """Run the pipeline TARGET: FILE, FILE:PIPELINE, or the name of a registered one. A FILE without a pipeline is run and tracked as it is.

    Its inputs are options: `everloop run flow.py --rows flights@v3 --trees 80`; `everloop run flow.py --help` lists them.
    """
    if is_help:
        click.echo(ctx.get_help() + ("\n" + help_of(find_target(target)) if target else ""))
        return
    if target is None:
        raise click.UsageError(
            "name what to run: FILE.py, FILE.py:PIPELINE, or a registered pipeline. `--help` shows more."
        )
    script = Path(target)
    if target.endswith(".py") and not has_pipeline(script):
        check_script(script)
        run_script(script, words)
        return
    pipeline = find_target(target)
    inputs = dict(parse_param(item) for item in params) | parse_words(pipeline, words)
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


def help_of(pipeline: AnyPipeline | str) -> str:
    """Return the inputs of a pipeline as options."""
    if isinstance(pipeline, str):
        return f"\nInputs: `everloop pipeline show {pipeline}` lists those of a registered pipeline."
    from everloop.pipelines.hints import show
    from everloop.pipelines.steps import hints_of

    hints, lines = hints_of(pipeline.function), []
    for name, parameter in inspect.signature(pipeline.function).parameters.items():
        default = "required" if parameter.default is parameter.empty else f"default {parameter.default!r}"
        kind = show(hints[name]) if name in hints else "any"
        lines.append((f"--{name.replace('_', '-')} {kind.upper()}", default))
    formatter = click.HelpFormatter(width=100)
    with formatter.section(f"Inputs of {pipeline.name}"):
        formatter.write_dl(lines or [("none", "")])
    if pipeline.function.__doc__:
        formatter.write_paragraph()
        formatter.write_text(inspect.cleandoc(pipeline.function.__doc__).partition("\n\n")[0])
    return "\n" + formatter.getvalue().rstrip()


def parse_words(pipeline: AnyPipeline | str, words: tuple[str, ...]) -> dict[str, Any]:
    """Read `--name value` and `--name=value`; an input that is a bool needs no value, and `--no-name` is false."""
    from everloop.pipelines.steps import hints_of

    hints = {} if isinstance(pipeline, str) else hints_of(pipeline.function)
    known = None if isinstance(pipeline, str) else list(inspect.signature(pipeline.function).parameters)
    found: dict[str, Any] = {}
    pending = list(words)
    while pending:
        word = pending.pop(0)
        if not word.startswith("--"):
            raise click.UsageError(f"{word!r} is no option. Write an input as --name value.")
        text, equals, value = word[2:].partition("=")
        name = text.replace("-", "_")
        if hints.get(name) is bool and not equals:
            found[name] = True
        elif name.startswith("no_") and hints.get(name[3:]) is bool and not equals:
            found[name[3:]] = False
        elif known is not None and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = (
                f"Did you mean --{near[0].replace('_', '-')}?"
                if near
                else f"Its inputs are: {', '.join(known) or 'none'}."
            )
            raise click.UsageError(f"the pipeline has no input {name}. {hint}")
        elif equals or pending:
            found |= dict([parse_param(f"{name}={value if equals else pending.pop(0)}")])
        else:
            raise click.UsageError(f"--{text} needs a value.")
    return found


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
        "skipped": "dim",
        "waiting": "magenta",
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
    if done.status == "waiting":
        output.note(
            f"it waits for a person: `everloop pipeline approvals --run {done.id}` shows what is asked"
        )
        return
    if done.status != "finished":
        output.note(
            f"`everloop pipeline logs {done.id}` shows the tracebacks; `everloop resume {done.id}` goes on."
        )
        raise SystemExit(1)
