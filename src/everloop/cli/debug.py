"""`everloop debug`. Tests: tests/integration/test_cli_pipelines.py."""

from __future__ import annotations

import sys
import traceback

import click

from everloop.cli import output


@click.command()
@click.argument("run_id")
@click.argument("step")
@click.option("--from-start", is_flag=True, help="Stop at the first line of the step, not where it fails.")
def debug(run_id: str, step: str, from_start: bool) -> None:  # noqa: FBT001 - a flag of the command line
    """Call STEP of RUN_ID again with the arguments and the code it had, and stop where it fails.

    Python's debugger opens in the failing frame: `p name` shows a value, `u` and `d` go along the stack, `q` ends. Nothing is written
    to the run. An item of a map is named score[3].
    """
    import pdb  # noqa: T100 - it is what the command is for

    with output.app() as loop, loop.pipelines.reopened(run_id, step) as call:
        shown = ", ".join(f"{name}={_short(value)}" for name, value in call.arguments.items())
        output.note(f"{call.function.__name__}({shown})")
        if from_start:
            pdb.runcall(call.function, **call.arguments)
            return
        try:
            result = call.function(**call.arguments)
        except Exception as error:  # noqa: BLE001 - whatever the step raises is what is looked into
            trace = error.__traceback__.tb_next if error.__traceback__ is not None else None
            click.echo("".join(traceback.format_exception(type(error), error, trace)), err=True, nl=False)
            pdb.Pdb(stdin=sys.stdin, stdout=sys.stdout).interaction(None, trace)
            return
    output.note(
        "the step succeeds here and now; what failed may depend on its time, its machine or its environment"
    )
    click.echo(_short(result))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."  # noqa: PLR2004 - one line
