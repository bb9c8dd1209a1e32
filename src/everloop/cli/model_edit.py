"""`everloop model new`, `edit`, `rm` and their kin. Tests: tests/integration/test_cli_models.py."""

from __future__ import annotations

import click

from everloop.cli import output


@click.command()
@click.argument("name")
@click.option("--note", default="", help="Text about it.")
@click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE", help="A label; may be repeated.")
def new(name: str, note: str, tags: tuple[str, ...]) -> None:
    """Make model NAME without versions."""
    with output.app() as loop:
        output.record(loop.registry.create_model(name, note=note, tags=output.pairs(tags)))


@click.command()
@click.argument("name")
def about(name: str) -> None:
    """Show model NAME: note, tags, aliases."""
    with output.app() as loop:
        output.record(loop.registry.about(name))


@click.command()
@click.argument("name")
@click.option("--name", "new_name", help="A new name.")
@click.option("--note", help="Text about it.")
@click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE", help="Set a label; may be repeated.")
@click.option("--untag", "removed", multiple=True, metavar="KEY", help="Remove a label; may be repeated.")
def edit(
    name: str, new_name: str | None, note: str | None, tags: tuple[str, ...], removed: tuple[str, ...]
) -> None:
    """Change name, note and tags of model NAME."""
    with output.app() as loop:
        changed = loop.registry.edit_model(
            name, name=new_name, note=note, tags=output.pairs(tags), remove_tags=list(removed)
        )
        output.record(changed)


@click.command()
@click.argument("name")
def rm(name: str) -> None:
    """Delete model NAME with its versions and aliases."""
    with output.app() as loop:
        loop.registry.delete_model(name)
    output.note(f"model {name} is deleted")


@click.command("edit-version")
@click.argument("name")
@click.argument("version", type=int)
@click.option("--note", help="Text about it.")
@click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE", help="Set a label; may be repeated.")
@click.option("--untag", "removed", multiple=True, metavar="KEY", help="Remove a label; may be repeated.")
def edit_version(
    name: str, version: int, note: str | None, tags: tuple[str, ...], removed: tuple[str, ...]
) -> None:
    """Change note and tags of VERSION of model NAME."""
    with output.app() as loop:
        changed = loop.registry.edit_version(
            name, version, note=note, tags=output.pairs(tags), remove_tags=list(removed)
        )
        output.record(changed)


@click.command("rm-version")
@click.argument("name")
@click.argument("version", type=int)
def rm_version(name: str, version: int) -> None:
    """Delete VERSION of model NAME and the aliases that stand on it."""
    with output.app() as loop:
        output.record(loop.registry.delete_version(name, version))


COMMANDS = (new, about, edit, rm, edit_version, rm_version)
