"""`everloop demo`: a year of real flights round the whole loop, in about a minute.

`flights.py` is the world, `replay.py` plays it, `story.py` tells it, `months.py` sums it up, `sabotage.py` breaks one model on purpose. The
loop itself is the user's: `examples/flights/loop.py`. Tests: tests/e2e/test_demo.py.
"""

from __future__ import annotations

from pathlib import Path

import click

from everloop.cli import output

DEFAULT_HOME = Path("everloop-demo")


@click.command()
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    help=f"Folder of the demo; ./{DEFAULT_HOME} by default.",
)
@click.option(
    "--speed",
    type=float,
    default=0.0,
    help="At most this many simulated days a second; as fast as it goes by default.",
)
@click.option("--until", default="2013-12-31", help="Last day to play.")
@click.option(
    "--sabotage",
    is_flag=True,
    help="Let one challenger answer nonsense after its gate; the canary must catch it.",
)
@click.option("--exit", "leave", is_flag=True, help="End after the story instead of serving on.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document on stdout.")
def demo(home: Path | None, speed: float, until: str, *, sabotage: bool, leave: bool, as_json: bool) -> None:
    """Watch a year of real flights go round the loop: train, serve, decay, alert, retrain, gate, canary, promote."""
    from everloop.cli.demo.theatre import perform

    chosen = home or Path(output.session().home or DEFAULT_HOME)
    perform(
        chosen.absolute(),
        speed=speed,
        until=until,
        sabotage=sabotage,
        leave=leave,
        as_json=as_json or output.session().form == "json",
    )
