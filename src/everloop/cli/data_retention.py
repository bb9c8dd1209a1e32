"""The commands of `everloop data` about deleting, the trash, rules and quotas. Tests: tests/integration/test_retention_cli.py."""

from __future__ import annotations

import click

from everloop.cli import output

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_GRACE = click.option("--grace", default="14d", show_default=True, help="How long it can be brought back.")
_REASON = click.option("--reason", default="", help="Why, for people; it stays in the event log.")


@click.command()
@click.argument("ref")
@_GRACE
@_REASON
def delete(ref: str, grace: str, reason: str) -> None:
    """Move the version REF into the trash."""
    with output.app() as loop:
        found = loop.data.delete(ref, grace=grace, reason=reason)
    _print(found.ref, found.until)


@click.command("delete-dataset")
@click.argument("dataset")
@_GRACE
@_REASON
def delete_dataset(dataset: str, grace: str, reason: str) -> None:
    """Move DATASET with all its versions into the trash."""
    with output.app() as loop:
        found = loop.data.delete_dataset(dataset, grace=grace, reason=reason)
    _print(found.ref, found.until)


@click.command()
@click.argument("ref")
def restore(ref: str) -> None:
    """Bring REF, a version or a dataset, back from the trash."""
    with output.app() as loop:
        found = loop.data.restore(ref)
    output.note(f"{found.ref} is back")


@click.command()
def trash() -> None:
    """List what can be brought back."""
    with output.app() as loop:
        output.table(loop.data.trash(), ["ref", "trashed_at", "trashed_by", "until", "reason"])


@click.command("remove-ref")
@click.argument("dataset")
@click.argument("name")
def remove_ref(dataset: str, name: str) -> None:
    """Remove the branch or tag NAME of DATASET; versions stay."""
    with output.app() as loop:
        loop.data.remove_ref(dataset, name)
    output.note(f"{name} of {dataset} is gone; its versions stay until they are deleted")


@click.command()
@click.argument("dataset")
@click.option("--last", type=click.IntRange(min=1), help="Keep the last so many versions of each branch.")
@click.option("--days", type=click.IntRange(min=1), help="Keep versions younger than so many days.")
@click.option("--drop-run-outputs", is_flag=True, help="Let versions that a run added go, too.")
def retain(
    dataset: str,
    last: int | None,
    days: int | None,
    drop_run_outputs: bool,  # noqa: FBT001 - a flag of the command line
) -> None:
    """Set which versions of DATASET stay; '*' is for every dataset without a rule. Without --last and --days all stay."""
    from everloop.data.retention.records import RetentionRule

    with output.app() as loop:
        rule = RetentionRule(last=last, days=days, run_outputs=not drop_run_outputs)
        output.record(loop.data.retain(dataset, rule=rule))


@click.command("retention-plan")
@click.argument("dataset")
def retention_plan(dataset: str) -> None:
    """Show which versions of DATASET its rule lets go, and why each other one stays; nothing is changed."""
    with output.app() as loop:
        found = loop.data.retention_plan(dataset)
    if output.session().form == "json":
        output.record(found)
        return
    rows = [{"ref": one.ref, "stays": "no", "why": ""} for one in found.going]
    rows += [{"ref": one.ref, "stays": "yes", "why": "; ".join(one.why)} for one in found.kept]
    output.table(rows, ["ref", "stays", "why"])
    output.note(f"{len(found.going):,} versions would go and free {found.freed_bytes:,} bytes")


@click.command()
@click.argument("dataset")
@click.option("--warn", help="Stored bytes above which it is told: 500m, 20g.")
@click.option("--refuse", help="Stored bytes above which versions are refused.")
def quota(dataset: str, warn: str | None, refuse: str | None) -> None:
    """Show the stored bytes of DATASET, or with '*' of all, and set a quota when one is given."""
    from everloop.data.retention.records import Quota

    with output.app() as loop:
        if warn or refuse:
            given = Quota(warn_bytes=_bytes(warn), refuse_bytes=_bytes(refuse))
            output.record(loop.data.set_quota(dataset, quota=given))
        else:
            output.record(loop.data.usage(dataset))


def _bytes(text: str | None) -> int | None:
    if text is None:
        return None
    plain = text.strip().lower().removesuffix("b")
    number, unit = (plain[:-1], plain[-1]) if plain[-1:] in "kmgt" else (plain, "")
    try:
        size = int(float(number) * _UNITS[unit])
    except (ValueError, OverflowError):
        size = 0
    if size < 1:
        raise click.UsageError(f"{text!r} is no size. Write bytes, or 500m, 20g, 1.5t.")
    return size


def _print(ref: str, until: object) -> None:
    output.note(
        f"{ref} is in the trash until {until:%Y-%m-%d %H:%M} UTC; bring it back: everloop data restore {ref}"
    )


COMMANDS = [delete, delete_dataset, restore, trash, remove_ref, retain, retention_plan, quota]
