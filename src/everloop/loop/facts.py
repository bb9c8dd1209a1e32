"""Gather what the loop's decisions look at: rows for the gate, figures of a canary, tables for training.

Tests: tests/integration/test_loop.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from everloop.core.clock import from_microseconds
from everloop.core.errors import InvalidInputError
from everloop.loop.records import CanaryFacts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    import pyarrow as pa
    from numpy.typing import NDArray

    from everloop.data.service import Data
    from everloop.data.table import Table
    from everloop.loop.records import Cycle
    from everloop.serving.service import Serving

_EPSILON = 1e-6
_HOUR_US = 3_600_000_000


class NoLabelsError(InvalidInputError):
    """The deployment has no labelled prediction to judge on."""

    code = "loop.no-labels"


def training_tables(data: Data, refs: Mapping[str, str], cut: datetime | None) -> dict[str, Table]:
    """Return the pinned tables, each with the rows before `cut` only where the dataset names an event time."""
    return {name: _before(data, ref, cut) for name, ref in refs.items()}


def _before(data: Data, ref: str, cut: datetime | None) -> Table:
    table = data.read(ref)
    column = data.version(ref).event_time
    if cut is None or not column:
        return table
    return table.sql(f"""SELECT * FROM this WHERE "{column}" < TIMESTAMPTZ '{cut.isoformat()}'""")


def newest_time(data: Data, refs: Mapping[str, str], tables: Mapping[str, Table]) -> datetime | None:
    """Return the newest event time that training can read; None when no dataset names one."""
    newest = None
    for name, ref in refs.items():
        column = data.version(ref).event_time
        if not column:
            continue
        found = (
            tables[name]
            .sql(f'SELECT epoch_us(max("{column}")) AS newest FROM this')
            .to_arrow()["newest"][0]
            .as_py()
        )
        if found is not None:
            moment = from_microseconds(found)
            newest = moment if newest is None else max(newest, moment)
    return newest


def gate_rows(serving: Serving, cycle: Cycle, now: datetime) -> pa.Table:
    """Return the labelled predictions since the cut: features as they were served, the target, and the time.

    Raises:
        NoLabelsError: there are none.
    """
    if cycle.cut is None:
        raise NoLabelsError(f"cycle {cycle.number} has no cut in time", subject=f"cycle:{cycle.id}")
    rows = serving.labelled(cycle.model, start=cycle.cut, end=now, known_by=now)
    if rows.num_rows == 0:
        raise NoLabelsError(
            f"{cycle.model} has no labelled prediction since {cycle.cut:%Y-%m-%d %H:%M}. Send labels to /labels/{cycle.model}.",
            subject=f"deployment:{cycle.model}",
        )
    return rows


def canary_facts(
    serving: Serving, deployment: str, start: datetime, end: datetime
) -> Callable[[int], CanaryFacts]:
    """Read the predictions of a canary step once and return the figures for each version."""
    rows = serving.predictions(deployment, start=start, end=end, known_by=end)
    version = rows["version"].to_numpy()
    score = rows["output"].to_numpy(zero_copy_only=False).astype(float)
    label = rows["label"].to_numpy(zero_copy_only=False).astype(float)
    hour = rows["time"].cast("int64").to_numpy() // _HOUR_US
    failed = serving.errors(deployment, start=start, end=end)

    def facts(number: int) -> CanaryFacts:
        mine = version == number
        return _facts(score[mine], label[mine], hour[mine], failed.get(number, 0))

    return facts


def _facts(
    score: NDArray[np.float64], label: NDArray[np.float64], hour: NDArray[np.int64], errors: int
) -> CanaryFacts:
    finite = np.isfinite(score)
    known = finite & np.isfinite(label)
    loss, error = _clustered_loss(score[known], label[known], hour[known])
    return CanaryFacts(
        rows=int(score.size),
        errors=errors,
        mean_score=float(score[finite].mean()) if finite.any() else 0.0,
        invalid=int((~finite).sum()),
        labelled=int(known.sum()),
        loss=loss,
        loss_error=error,
    )


def _clustered_loss(
    score: NDArray[np.float64], label: NDArray[np.float64], hour: NDArray[np.int64]
) -> tuple[float, float]:
    """Return the mean log-loss and its standard error with hours as clusters, for the flights of an hour share their weather."""
    if score.size == 0:
        return 0.0, 0.0
    clipped = np.clip(score, _EPSILON, 1 - _EPSILON)
    loss = -(label * np.log(clipped) + (1 - label) * np.log(1 - clipped))
    mean = float(loss.mean())
    _, cluster = np.unique(hour, return_inverse=True)
    sums = np.bincount(cluster, weights=loss - mean)
    return mean, float(np.sqrt((sums**2).sum()) / loss.size)
