"""`everloop fsck`. Tests: tests/integration/test_data_cli.py."""

from __future__ import annotations

import click

from everloop.cli import output


@click.command()
@click.option("--quick", is_flag=True, help="Look at existence and size only.")
@click.option(
    "--repair-from", default="", help="URL of a store that has good copies, for example s3://bucket/prefix."
)
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="NAME=VALUE",
    help="Option of that store, for example region=eu-west-1.",
)
def fsck(quick: bool, repair_from: str, options: tuple[str, ...]) -> None:  # noqa: FBT001 - a flag of the command line
    """Check every stored object; fetch damaged ones again from another store."""
    from everloop.kernel.system import Remote

    pairs = dict(option.split("=", 1) for option in options if "=" in option)
    source = Remote(url=repair_from, options=pairs) if repair_from else None
    with output.app() as loop:
        report = loop.system.check_objects(quick=quick, repair_from=source)
    output.record(report)
    if not report.is_clean:
        output.note(
            "some objects are damaged; name a store with good copies: everloop fsck --repair-from URL"
        )
        raise SystemExit(1)
