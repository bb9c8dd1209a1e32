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


@click.command()
@click.argument("ref")
@click.option("--to", required=True, help="The dataset of the masked versions.")
@click.option("--column", "columns", multiple=True, required=True, metavar="NAME=METHOD",
              help="drop, hash, keep-format, redact[:TEXT] or generalize[:N]; repeat it for several columns.")  # fmt: skip
@click.option("--branch", default="main", show_default=True, help="Where the version is added.")
@click.option("--message", "-m", default="", help="Why, for people.")
def mask(ref: str, to: str, columns: tuple[str, ...], branch: str, message: str) -> None:
    """Add a version to another dataset that holds the rows of REF with some columns masked."""
    policy = dict(_method(text) for text in columns)
    with output.app() as loop:
        found = loop.data.mask(ref, policy, to=to, branch=branch, message=message)
    if output.session().form == "json":
        output.record(found)
        return
    if found.version.is_unchanged:
        output.note(f"unchanged: {found.version.ref} has these very rows")
    output.table([found.version], ["ref", "rows", "stored_bytes", "digest", "created_at"])
    output.note(f"{found.masked_parts:,} parts were masked, {found.known_parts:,} had been before")
    if found.unmasked:
        output.note(
            f"not masked, though personal data was found in them: {', '.join(found.unmasked)} (everloop data personal {ref})"
        )


def _method(text: str) -> tuple[str, str]:
    name, equals, method = text.rpartition("=")
    if not equals:
        raise click.UsageError(
            f"{text!r} does not say what is done to a column. Write NAME=METHOD: email=hash"
        )
    return name, method


COMMANDS = [personal, mask]
