"""Which kinds of sources there are. Tests: tests/unit/importers/test_sources.py."""

from __future__ import annotations

import difflib
import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from everloop.importers.records import BadSourceError

if TYPE_CHECKING:
    from everloop.importers.records import Source

# Kind, the module that reads it, and what a place is.
KINDS = {
    "mlflow": "a folder mlruns, the SQLite file of a server, or the URL of its PostgreSQL database",
    "wandb": "a folder with offline runs, one of them, or a .wandb file",
    "tensorboard": "a folder with event files, at any depth",
    "neptune": "a folder of Parquet files that neptune-exporter wrote",
    "optuna": "the file of a storage (SQLite or journal), or the URL of a database",
    "dvc": "a Git repository with experiments of DVC",
}


def open_source(kind: str, place: str, **options: Any) -> Source:
    """Return a source to bring runs from.

    Args:
        kind: mlflow, wandb, tensorboard, neptune, optuna or dvc.
        place: a path or URL, see `KINDS`.
        **options: of some kinds: `artifacts`, the folder with the artifacts of an MLflow server; `experiment`, the name to bring
            TensorBoard's runs under.

    Raises:
        BadSourceError: there is no such kind, or nothing of the kind is at the place.
        ImporterMissingError: the library that reads it is not installed.
    """
    if kind not in KINDS:
        close = difflib.get_close_matches(kind, KINDS, 1)
        meant = f" Do you mean {close[0]}?" if close else ""
        raise BadSourceError(
            f"runs of {kind!r} cannot be brought.{meant} There are {', '.join(KINDS)}.", subject=kind
        )
    if "://" not in place and not Path(place).exists():
        raise BadSourceError(f"there is nothing at {place}. For {kind} give {KINDS[kind]}.", subject=place)
    module = importlib.import_module(f"everloop.importers.{kind}")
    source: Source = module.open_source(place, **options)
    return source
