"""`everloop features`. Tests: tests/integration/test_features_cli.py."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from everloop.cli import output

if TYPE_CHECKING:
    from datetime import datetime

    from everloop.data.features.records import FeatureView


@click.group()
def features() -> None:
    """Save feature views, bring their rows online, look them up, compare them with the join."""


@features.command()
@click.argument("view_file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def save(view_file: Path) -> None:
    """Save the definition in VIEW_FILE (JSON); one that differs from the latest makes a new version."""
    with output.app() as loop:
        saved = loop.data.save_view(_read_view(view_file))
    if saved.is_unchanged:
        output.note(f"unchanged: {saved.ref} is this very definition")
    output.table([saved], ["ref", "created_at", "created_by"])


@features.command("list")
def list_views() -> None:
    """List the feature views, each in its latest version."""
    with output.app() as loop:
        found = loop.data.views(limit=1_000)
    rows = [
        {
            "ref": one.ref,
            "source": one.definition.source,
            "keys": one.definition.keys,
            "created_at": one.created_at,
        }
        for one in found
    ]
    output.table(rows, ["ref", "source", "keys", "created_at"])


@features.command()
@click.argument("view")
def show(view: str) -> None:
    """Show VIEW, `weather` or `weather@v2`: its definition, versions, online rows and checks."""
    with output.app() as loop:
        saved, versions = loop.data.view(view), loop.data.view_versions(view.partition("@")[0])
        state, checks = loop.data.materialization(view), loop.data.parity_checks(view)
    if output.session().form == "json":
        output.record(saved)
        return
    told = {name: getattr(saved.definition, name) for name in saved.definition.__struct_fields__}
    output.record({"ref": saved.ref, **told, "versions": [one.version for one in versions]})
    if state is None:
        output.note(f"no online rows; everloop features materialize {saved.ref}")
    else:
        output.table([state], ["view", "source", "keys", "horizon"])
    if checks:
        output.table(checks, ["created_at", "source", "compared", "different"])


@features.command()
@click.argument("view")
def materialize(view: str) -> None:
    """Bring the online rows of VIEW to the latest version of its source."""
    with output.app() as loop:
        found = loop.data.materialize(view)
    if found.is_unchanged:
        output.note(f"unchanged: the rows are those of {found.source}")
    output.table([found], ["view", "source", "keys", "changed", "horizon"])


@features.command()
@click.argument("view")
def follow(view: str) -> None:
    """Let the scheduler materialise VIEW whenever its source has a new version."""
    with output.app() as loop:
        saved = loop.data.follow(view)
    output.note(f"{saved.ref} follows {saved.definition.source}")


@features.command()
@click.argument("view")
def unfollow(view: str) -> None:
    """Let the online rows of VIEW stay as they are until they are materialised again."""
    with output.app() as loop:
        saved = loop.data.unfollow(view)
    output.note(f"{saved.ref} stays as it is")


@features.command()
@click.argument("view")
@click.argument("keys", nargs=-1, required=True)
@click.option("--at", default=None, type=click.DateTime(), help="As of when, UTC; now by default.")
def get(view: str, keys: tuple[str, ...], at: datetime | None) -> None:
    """Look up KEYS of VIEW online; a key of several columns is their values with commas between."""
    with output.app() as loop:
        found = loop.data.online(view, [key.split(",") if "," in key else key for key in keys], at=at)
    output.table(found.to_arrow().to_pylist(), found.column_names)


@features.command()
@click.argument("view")
@click.option("--sample", default=1_000, show_default=True, help="How many keys to compare.")
@click.option("--seed", default=0, show_default=True, help="Of the draw of keys and moments.")
def parity(view: str, sample: int, seed: int) -> None:
    """Compare the online rows of VIEW with the point-in-time join; exit code 1 when they differ."""
    with output.app() as loop:
        found = loop.data.parity(view, sample=sample, seed=seed)
    if output.session().form == "json":
        output.record(found)
    elif found.mismatches:
        output.table(found.mismatches, ["key", "at", "feature", "online", "offline"])
    output.note(f"{found.view} of {found.source}: {found.compared:,} compared, {found.different:,} differ")
    if not found.is_same:
        raise SystemExit(1)


def _read_view(file: Path) -> FeatureView:
    import msgspec

    from everloop.core.errors import InvalidInputError
    from everloop.data.features.records import FeatureView

    try:
        return msgspec.json.decode(file.read_bytes(), type=FeatureView)
    except msgspec.DecodeError as error:
        raise InvalidInputError(
            f"{file} is no feature view: {error}. Its form is "
            '{"name": "weather", "source": "weather", "keys": ["city"], "features": {"temp": "temp"}, "event_time": "day"}.',
            subject=str(file),
        ) from error
