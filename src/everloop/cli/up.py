"""`everloop up`. Tests: tests/integration/test_up.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from everloop.cli import output

if TYPE_CHECKING:
    from everloop.kernel.settings import Settings


@click.command()
@click.option(
    "--role", type=click.Choice(["api", "scheduler", "gateway"]), help="Run only this role, in this process."
)
@click.option("--host", help="Address to listen on; beyond loopback a token is asked for.")
@click.option("--port", type=int, help="Port of the API; the gateway takes the next one.")
@click.option(
    "--executor",
    type=click.Choice(["inline", "process", "ray"]),
    help="What runs the steps of pipelines that do not say.",
)
@click.option("--address", help="Of the Ray cluster, host:6379; without one Ray is started here.")
def up(
    role: str | None, host: str | None, port: int | None, executor: str | None, address: str | None
) -> None:
    """Start API, scheduler and gateway; stop them with Ctrl-C."""
    from everloop.kernel.settings import load_settings

    gateway_port = port + 1 if port else None
    home = output.session().home
    settings = load_settings(
        home=home,
        url="",
        api_host=host,
        gateway_host=host,
        api_port=port,
        gateway_port=gateway_port,
        executor=executor,
        executor_address=address,
    )
    if role is None:
        _supervise(settings)
    elif role == "gateway":
        from everloop.server.processes import token_for
        from everloop.serving.gateway import serve_gateway

        serve_gateway(settings, token=token_for(settings))
    elif role == "api":
        from everloop.mlflow_api.protocol import Protocol
        from everloop.server.processes import run_api

        run_api(settings, edges=[Protocol])
    else:
        from everloop.server.processes import run_scheduler

        run_scheduler(settings)


def _supervise(settings: Settings) -> None:
    from everloop.kernel import open_kernel
    from everloop.server.processes import StopRequested, Supervisor, stop_by_signal

    open_kernel(settings).close()
    supervisor = Supervisor(settings)
    try:
        with stop_by_signal():
            supervisor.start()
            _greet(settings)
            supervisor.wait()
    except StopRequested:
        output.note("stopping")
    finally:
        supervisor.stop()


def _greet(settings: Settings) -> None:
    from everloop.server.processes import token_for

    output.note(f"home      {settings.home}")
    output.note(
        f"api       http://{settings.api_host}:{settings.api_port}/api/v1  (OpenAPI: /api/v1/openapi.json)"
    )
    output.note(f"gateway   http://{settings.gateway_host}:{settings.gateway_port}/predict/DEPLOYMENT")
    if token_for(settings):
        output.note(
            f"token     {settings.home / 'keys' / 'token'}  (clients set EVERLOOP_TOKEN)"
            if not settings.token
            else "token     as set"
        )
    output.note(
        f"client    export EVERLOOP_URL=http://{settings.api_host}:{settings.api_port}"
        + ("  EVERLOOP_TOKEN=..." if token_for(settings) else "")
    )
    output.note(
        f"mlflow    export MLFLOW_TRACKING_URI=http://{settings.api_host}:{settings.api_port}"
        + ("  MLFLOW_TRACKING_TOKEN=..." if token_for(settings) else "")
    )
    output.note("Ctrl-C stops everything.")
