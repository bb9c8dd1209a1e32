"""Gather what the loop's decisions look at: rows for the gate, figures of a canary, tables for training.

Tests: tests/integration/test_loop.py, tests/integration/test_canary_facts.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from everloop.core.clock import from_microseconds
from everloop.core.errors import InvalidInputError
from everloop.serving.records import CanaryFacts

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from numpy.typing import NDArray

    from everloop.data.service import Data
    from everloop.data.table import Table
    from everloop.loop.records import Cycle
    from everloop.serving.service import Serving

_EPSILON = 1e-6
_HOUR_US = 3_600_000_000
_SCORE_BINS = 10
_LEAST_LABELLED = 50
# With fewer requests the 99th percentile is the slowest one or two.
_LEAST_TIMED = 300
# Two runs of one model on the same row may differ by rounding, not by more.
_PARITY = 1e-6
# Two-sided 95 % of a normal.
_Z = 1.96


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


def gate_rows(serving: Serving, cycle: Cycle, now: datetime, target: str) -> pa.Table:
    """Return the labelled predictions since the cut: features as they were served, the target, and the time.

    Raises:
        NoLabelsError: there are none.
    """
    if cycle.cut is None:
        raise NoLabelsError(f"cycle {cycle.number} has no cut in time", subject=f"cycle:{cycle.id}")
    rows = serving.labelled(cycle.model, cycle.cut, now, known_by=now)
    if rows.num_rows == 0:
        raise NoLabelsError(
            f"{cycle.model} has no labelled prediction since {cycle.cut:%Y-%m-%d %H:%M}. Send labels to /labels/{cycle.model}.",
            subject=f"deployment:{cycle.model}",
        )
    return rows.rename_columns([target if name == "label" else name for name in rows.column_names])


def canary_facts(serving: Serving, cycle: Cycle, now: datetime) -> CanaryFacts:
    """Return what was seen of the challenger since the canary step began.

    The rows the challenger answered are scored again here by both registered models: so a gateway that answers something else than the
    model that passed the gate is found at once, and the two models are compared on the same rows.
    """
    start = cycle.step_began_at or cycle.updated_at
    rows = serving.predictions(cycle.model, start, now)
    canary = _of_version(rows, cycle.challenger)
    failed = serving.failures(cycle.model, start, now)
    errors = failed.pop(cycle.challenger, 0)
    main_errors = sum(failed.values())
    if canary.num_rows == 0:
        return CanaryFacts(
            requests=errors,
            errors=errors,
            main_requests=rows.num_rows + main_errors,
            main_errors=main_errors,
            predictions=0,
            not_finite=0,
            out_of_range=0,
        )
    served = _scores(canary)
    registered = serving.score(f"{cycle.model}@v{cycle.challenger}", canary)
    main = serving.score(f"{cycle.model}@v{cycle.champion}", canary)
    finite = np.isfinite(served)
    gain = quality_gain(serving, cycle, start, now)
    shift = score_shift(served[finite], main)
    return CanaryFacts(
        requests=canary.num_rows + errors,
        errors=errors,
        main_requests=rows.num_rows - canary.num_rows + main_errors,
        main_errors=main_errors,
        predictions=canary.num_rows,
        not_finite=int((~finite).sum()),
        out_of_range=int(((served[finite] < 0) | (served[finite] > 1)).sum()),
        mismatched=int((np.abs(served - registered)[finite] > _PARITY).sum()),
        latency_p99_us=latency_p99_us(canary),
        main_latency_p99_us=latency_p99_us(rows.filter(pc.field("version") != cycle.challenger)),
        score_shift=None if shift is None else max(0.0, shift - cycle.gate_shift),
        quality_rows=gain.rows,
        quality_gain_low=gain.low,
        quality_gain_high=gain.high,
    )


def latency_p99_us(rows: pa.Table) -> float | None:
    """Return the 99th percentile of the latency of requests with one row; None when there are too few to tell.

    Requests with many rows are left out: how long they take is their size.
    """
    single = rows.filter(pc.field("request_rows") == 1)["latency_us"].to_numpy()
    return float(np.quantile(single, 0.99)) if single.size >= _LEAST_TIMED else None


class Gain(NamedTuple):
    """A difference of mean losses with its 95 % interval; None without enough rows."""

    rows: int
    low: float | None
    high: float | None


def quality_gain(serving: Serving, cycle: Cycle, start: datetime, now: datetime) -> Gain:
    """Return how much smaller the challenger's mean log-loss was than the champion's would have been, on the challenger's labelled rows."""
    rows = _of_version(serving.labelled(cycle.model, start, now, known_by=now), cycle.challenger)
    if rows.num_rows < _LEAST_LABELLED:
        return Gain(rows.num_rows, None, None)
    label = rows["label"].to_numpy(zero_copy_only=False).astype(float)
    main = serving.score(f"{cycle.model}@v{cycle.champion}", rows)
    gain = _loss(label, main) - _loss(label, _scores(rows))
    mean, error = _clustered_mean(gain, rows["time"].cast(pa.int64()).to_numpy() // _HOUR_US)
    return Gain(rows.num_rows, mean - _Z * error, mean + _Z * error)


def score_shift(scores: NDArray[np.float64], main: NDArray[np.float64]) -> float | None:
    """Return the Jensen-Shannon distance of two samples of scores on ten quantile bins of both together; None without rows."""
    if not scores.size or not main.size:
        return None
    edges = np.quantile(np.concatenate([scores, main]), np.linspace(0, 1, _SCORE_BINS + 1)[1:-1])
    shares = [
        np.bincount(np.searchsorted(edges, sample), minlength=_SCORE_BINS) / sample.size
        for sample in (scores, main)
    ]
    middle = (shares[0] + shares[1]) / 2
    divergence = 0.0
    for share in shares:
        seen = share > 0
        divergence += float((share[seen] * np.log2(share[seen] / middle[seen])).sum()) / 2
    return float(np.sqrt(max(divergence, 0.0)))


def _of_version(rows: pa.Table, version: int) -> pa.Table:
    return rows.filter(pc.field("version") == version) if rows.num_rows else rows


def _scores(rows: pa.Table) -> NDArray[np.float64]:
    return rows["prediction"].to_numpy(zero_copy_only=False).astype(float) if rows.num_rows else np.empty(0)


def _loss(label: NDArray[np.float64], score: NDArray[np.float64]) -> NDArray[np.float64]:
    clipped = np.clip(score, _EPSILON, 1 - _EPSILON)
    return -(label * np.log(clipped) + (1 - label) * np.log(1 - clipped))


def _clustered_mean(values: NDArray[np.float64], block: NDArray[np.int64]) -> tuple[float, float]:
    """Return a mean and its standard error with blocks as clusters, for the rows of an hour share their causes."""
    mean = float(values.mean())
    names = np.unique(block)
    sums = np.bincount(np.searchsorted(names, block), weights=values - mean)
    return mean, float(np.sqrt((sums**2).sum()) / values.size)
