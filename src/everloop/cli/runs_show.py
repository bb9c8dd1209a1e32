"""`everloop runs media`, `output`, `compare`: what runs showed and printed. Tests: tests/integration/test_cli_tracking.py."""

from __future__ import annotations

import time
from pathlib import Path

import click

from everloop.cli import output
from everloop.core.errors import InvalidInputError

_LOOK_EVERY_S = 1.0
_SUFFIXES = {"text/plain": ".txt", "application/vnd.apache.parquet": ".parquet", "application/vnd.plotly.v1+json": ".json"}  # fmt: skip


class NotOneError(InvalidInputError):
    """More or less than one of the media fits."""

    code = "cli.not-one"


@click.command()
@click.argument("run_id")
@click.option("--name", default="", help="Only of this name.")
@click.option("--kind", help="text, vector, histogram, image, audio, video, html, plotly, points or table.")
@click.option("--step", type=float, help="Only at this step.")
@click.option("--limit", default=100, show_default=True, help="At most this many.")
@click.option("--save", type=click.Path(path_type=Path), help="Write the one that fits to this file, or into this folder.")  # fmt: skip
def media(
    run_id: str, name: str, kind: str | None, step: float | None, limit: int, save: Path | None
) -> None:
    """List the pictures, tables, texts and the like of RUN_ID, or save one of them."""
    import mimetypes

    with output.app() as loop:
        after = None if step is None else step - abs(step) * 1e-9 - 1e-9
        found = [
            one
            for one in loop.tracking.media(run_id, name=name, kind=kind, after=after, until=step, limit=limit)  # type: ignore[arg-type] # checked by the verb
            if step is None or one.step == step
        ]
        if save is None:
            output.table(
                found, ["name", "step", "index", "kind", "media_type", "size_bytes", "details", "time"]
            )
            return
        if len(found) != 1:
            raise NotOneError(f"{len(found)} fit. Choose one with --name and --step.", subject=run_id)
        [one] = found
        suffix = (
            _SUFFIXES.get(one.media_type) or mimetypes.guess_extension(one.media_type, strict=False) or ".bin"
        )
        plain = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in one.name)
        file = save / f"{plain}-{one.step:g}{suffix}" if save.is_dir() else save
        file.write_bytes(loop.tracking.media_content(one))
    output.note(f"{one.kind} {one.name} at step {one.step:g} is in {file}")


@click.command("output")
@click.argument("run_id")
@click.option("--search", default="", help="Only lines with this text, whatever its case.")
@click.option("--tail", type=int, metavar="N", help="Only the last N lines.")
@click.option("--follow", "-f", is_flag=True, help="Go on with new lines until the run ends.")
def show_output(run_id: str, search: str, tail: int | None, follow: bool) -> None:  # noqa: FBT001 - click's flag
    """Print what the program of RUN_ID printed; -o json prints lines with number, time and stream."""
    with output.app() as loop:
        status = loop.tracking.get_run(run_id).status
        lines = loop.tracking.output(run_id, search=search, limit=tail or 100_000, tail=tail is not None)
        if output.session().form == "json" and not follow:
            output.echo_json(lines)
            return
        following = 0
        while True:
            for line in lines:
                click.echo(line.text, err=line.stream == "stderr")
                following = line.number + 1
            if len(lines) == 100_000:  # noqa: PLR2004 - a whole page: there may be more
                lines = loop.tracking.output(run_id, search=search, first=following, limit=100_000)
                continue
            if not follow or status != "running":
                return
            time.sleep(_LOOK_EVERY_S)
            status = loop.tracking.get_run(run_id).status
            lines = loop.tracking.output(run_id, search=search, first=following, limit=100_000)


@click.command()
@click.argument("run_ids", nargs=-1, required=True)
@click.option("--all", "everything", is_flag=True, help="Also what is the same in all of them.")
def compare(run_ids: tuple[str, ...], everything: bool) -> None:  # noqa: FBT001 - click's flag
    """Print what differs between RUN_IDS: params, metrics, tags, inputs, code and environment."""
    with output.app() as loop:
        found = loop.tracking.compare(list(run_ids))
    rows = [
        {"field": row.field, **dict(zip(found.names, row.values, strict=True))}
        for row in (*found.different, *(found.same if everything else []))
    ]
    output.table(rows, ["field", *found.names])
    output.note(f"{len(found.different)} fields differ, {len(found.same)} are the same")


COMMANDS = (media, show_output, compare)
