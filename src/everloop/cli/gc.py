"""`everloop gc`. Tests: tests/integration/test_data_cli.py."""

from __future__ import annotations

import click

from everloop.cli import output


@click.command()
@click.option("--grace", default="14d", show_default=True, help="Leave alone what was stored this recently.")
@click.option("--dry-run", is_flag=True, help="Only say what would go, and why the rest stays.")
def gc(grace: str, dry_run: bool) -> None:  # noqa: FBT001 - a flag of the command line
    """Empty the trash of what is due, and remove objects that nothing refers to."""
    with output.app() as loop:
        report = loop.system.collect_objects(grace=grace, dry_run=dry_run)
    if output.session().form == "json":
        output.echo_json(report)
        return
    for done, would, refs in (
        ("moved into the trash by rule", "would move into the trash by rule", report.trashed),
        ("purged", "would purge", report.purged),
    ):
        if refs:
            output.note(f"{would if dry_run else done}: {', '.join(refs)}")
    word = "would remove" if dry_run else "removed"
    output.note(f"{word} {len(report.removed):,} objects of {report.removed_bytes:,} bytes")
    output.note(f"kept {len(report.kept):,} objects of {report.kept_bytes:,} bytes:")
    reasons = [{"why_kept": why, "bytes": f"{size:,}"} for why, size in report.kept_by_reason().items()]
    output.table(reasons, ["why_kept", "bytes"])
