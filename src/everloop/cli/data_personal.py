"""The commands of `everloop data` about personal data. Tests: tests/integration/test_personal_cli.py."""

from __future__ import annotations

import click

from everloop.cli import output


@click.command()
@click.argument("ref")
def personal(ref: str) -> None:
    """Show which columns of REF hold personal data, and what their values look like, without showing any."""
    with output.app() as loop:
        found = loop.data.personal(ref)
    if output.session().form == "json":
        output.record(found)
        return
    rows = [
        {
            "column": one.column,
            "kind": one.kind + (" (inside texts)" if one.is_within else ""),
            "share": f"{one.share:.0%}",
            "rests_on": one.confidence,
            "looks_like": " | ".join(one.examples),
        }
        for one in found.columns
    ]
    output.table(rows, ["column", "kind", "share", "rests_on", "looks_like"])
    output.note(
        f"{found.sampled:,} of {found.rows:,} rows of {found.ref} were looked at; what is rare, or written as prose, can be missed"
    )


COMMANDS = [personal]
