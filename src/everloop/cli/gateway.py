"""`everloop gateway`. Tests: tests/integration/test_cli_models.py."""

from __future__ import annotations

import click

from everloop.cli import output


@click.command()
@click.option("--host", help="Address to listen on; beyond loopback a token is demanded.")
@click.option("--port", type=int, help="Port to listen on.")
def gateway(host: str | None, port: int | None) -> None:
    """Run only the process that answers predictions."""
    from everloop.kernel.settings import load_settings
    from everloop.serving.gateway import serve_gateway

    settings = load_settings(home=output.session().home, url="", gateway_host=host, gateway_port=port)
    output.note(f"gateway   http://{settings.gateway_host}:{settings.gateway_port}/predict/DEPLOYMENT")
    serve_gateway(settings)
