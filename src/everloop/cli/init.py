"""`everloop init`: a small project that closes the loop, to start from. Its files are in `project/`. Tests: tests/integration/test_init.py."""

from __future__ import annotations

import csv
import math
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from everloop.cli import output

_TEMPLATES = Path(__file__).parent / "project"
_FILES = ("loop.py", "test_loop.py", "README.md")
_ROWS = 600
_SEED = 20130101


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=".")
def init(folder: Path) -> None:
    """Make a project in FOLDER: a pipeline on a CSV with its policy, a test and a README."""
    targets = [folder / name for name in (*_FILES, "machines.csv")]
    there = [target.name for target in targets if target.exists()]
    if there:
        raise click.UsageError(f"{folder} holds {', '.join(there)} already. Name another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    for name in _FILES:
        (folder / name).write_text((_TEMPLATES / f"{name}.template").read_text())
    _write_rows(folder / "machines.csv")
    output.table([{"file": str(target)} for target in targets], ["file"])
    output.note(f"Next: cd {folder} && python loop.py && everloop up")


def _write_rows(file: Path) -> None:
    """Write made-up readings of machines; the hotter, the shakier and the older, the more of them fail."""
    chance = random.Random(_SEED)  # noqa: S311 - an example, no secret
    start = datetime(2025, 1, 1, tzinfo=UTC)
    with file.open("w", newline="") as handle:
        rows = csv.writer(handle)
        rows.writerow(["id", "time", "temperature", "vibration", "hours", "fails"])
        for number in range(_ROWS):
            temperature, vibration = chance.gauss(70, 8), chance.expovariate(1 / 2.0)
            hours = chance.randrange(20_000)
            risk = 0.15 * (temperature - 70) + 0.6 * (vibration - 2) + hours / 8_000 - 1.5
            fails = chance.random() < 1 / (1 + math.exp(-risk))
            moment = (start + timedelta(hours=number)).isoformat()
            rows.writerow(
                [number, moment, f"{temperature:.1f}", f"{vibration:.2f}", hours, str(fails).lower()]
            )
