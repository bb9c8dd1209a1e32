"""`everloop deploy`. Tests: tests/integration/test_cli_models.py."""

from __future__ import annotations

from typing import Any

import click

from everloop.cli import output

_SHOWN = [
    "deployment",
    "generation",
    "model",
    "weights",
    "is_paused",
    "features",
    "set_at",
    "actor",
    "reason",
]


class DeployGroup(click.Group):
    """Reads `deploy NAME REF` as `deploy to NAME REF`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Put the command in where only its arguments stand."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["to", *args]
        return super().resolve_command(ctx, args)


@click.group(cls=DeployGroup)
def deploy() -> None:
    """Put a model version behind an address: everloop deploy NAME MODEL@VERSION."""


@deploy.command()
@click.argument("name")
@click.argument("refs", nargs=-1, required=True)
@click.option("--reason", default="", help="Kept with the change.")
def to(name: str, refs: tuple[str, ...], reason: str) -> None:
    """Let a version answer at deployment NAME; share with `delays@v7=0.95 delays@v8=0.05`."""
    with output.app() as loop:
        if len(refs) == 1 and "=" not in refs[0]:
            _show(loop.serving.deploy(name, refs[0], reason=reason))
            return
        shares = [ref.partition("=") for ref in refs]
        versions = [(loop.registry.get(ref), float(share or 0)) for ref, _, share in shares]
        weights = {version.version: share for version, share in versions}
        _show(loop.serving.set_routes(name, model=versions[0][0].model, weights=weights, reason=reason))


@deploy.command("ls")
def list_deployments() -> None:
    """List the deployments."""
    with output.app() as loop:
        output.table([_row(found) for found in loop.serving.list()], _SHOWN)


@deploy.command()
@click.argument("name")
def show(name: str) -> None:
    """Show the routing of deployment NAME in force."""
    with output.app() as loop:
        _show(loop.serving.get(name))


@deploy.command()
@click.argument("name")
def history(name: str) -> None:
    """List the routings of deployment NAME, newest first."""
    with output.app() as loop:
        output.table([_row(found) for found in loop.serving.history(name)], _SHOWN)


@deploy.command()
@click.argument("name")
@click.option("--reason", default="", help="Kept with the change.")
def rollback(name: str, reason: str) -> None:
    """Give all traffic of NAME back to the version that last served alone."""
    with output.app() as loop:
        _show(loop.serving.rollback(name, reason=reason))


@deploy.command()
@click.argument("name")
@click.argument("views", nargs=-1)
@click.option("--reason", default="", help="Kept with the change.")
def features(name: str, views: tuple[str, ...], reason: str) -> None:
    """Let requests to NAME give only the keys of feature VIEWS; none takes that back."""
    with output.app() as loop:
        _show(loop.serving.set_features(name, views=list(views), reason=reason))


@deploy.command()
@click.argument("name")
@click.option("--reason", default="", help="Kept with the change.")
def pause(name: str, reason: str) -> None:
    """Let deployment NAME answer 503 until it is resumed."""
    with output.app() as loop:
        _show(loop.serving.pause(name, reason=reason))


@deploy.command()
@click.argument("name")
@click.option("--reason", default="", help="Kept with the change.")
def resume(name: str, reason: str) -> None:
    """Let the paused deployment NAME answer again."""
    with output.app() as loop:
        _show(loop.serving.resume(name, reason=reason))


@deploy.command()
@click.argument("name")
def gateways(name: str) -> None:
    """List what each live gateway serves of deployment NAME."""
    with output.app() as loop:
        output.table(loop.serving.gateways(name), ["gateway", "generation", "error", "seen_at"])


def _show(routing: Any) -> None:  # noqa: ANN401 - a Routing, whose module is loaded late
    output.record(_row(routing))


def _row(routing: Any) -> dict[str, object]:  # noqa: ANN401 - as above
    weights = " ".join(f"v{version}={share:g}" for version, share in routing.weights.items())
    return {name: getattr(routing, name) for name in _SHOWN} | {"weights": weights}
