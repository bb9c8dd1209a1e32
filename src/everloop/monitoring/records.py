"""Values of monitoring: what is watched, the frozen reference, windows with their figures, drift reports.

Frozen and plain, so that a reference and a drift report are objects named by their digests. Tests: tests/unit/monitoring.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from everloop.evaluation.records import Estimate

Metric = Literal["log_loss", "brier", "auc", "squared_error", "absolute_error"]
BinKind = Literal["number", "category"]
WindowState = Literal["provisional", "mature", "insufficient"]
DriftVerdict = Literal["drift", "none", "insufficient"]
SignalState = Literal["ok", "bad", "insufficient", "provisional"]


class Monitor(msgspec.Struct, frozen=True, kw_only=True):
    """What is watched of a model's deployment, window by window.

    Attributes:
        metric: the performance metric whose decay pages; lower is better except for `auc`.
        window: length of a window.
        tolerance: how much worse than the reference the metric may be, in its unit, before a window is bad.
        needed, of: an alert fires when `needed` of the last `of` windows are bad.
        min_labelled: fewer labelled rows in a window are insufficient data.
        mature: share of a window's rows that have a label when its performance is judged.
        max_wait: so long after its end a window is judged with the labels there are.
        drift: whether the inputs are compared with the reference; drift annotates and never pages.
        delta: Jensen-Shannon distance (0 to 1) up to which a shift is harmless.
    """

    model: str = ""
    metric: Metric = "log_loss"
    window: str = "7d"
    tolerance: float = 0.02
    needed: int = 2
    of: int = 3
    min_labelled: int = 500
    mature: float = 0.9
    max_wait: str = "7d"
    drift: bool = True
    delta: float = 0.05


class Bins(msgspec.Struct, frozen=True, kw_only=True):
    """How one column is counted, frozen when the reference is made; `histograms.py` has the layout of the counts.

    Attributes:
        edges: of a number column, increasing; the first and last are the least and the largest value seen.
        categories: of a category column, the values in the order of their counts.
        is_open: there were more values than are kept, so a value that is not kept may still have been seen.
    """

    name: str
    kind: BinKind
    edges: list[float] = []
    categories: list[str] = []
    is_open: bool = False


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of one column by bin; `unseen` are values that a closed list of categories does not have."""

    counts: list[int]
    unseen: int = 0

    @property
    def rows(self) -> int:
        """Return the number of rows counted."""
        return sum(self.counts) + self.unseen


class ColumnReference(msgspec.Struct, frozen=True, kw_only=True):
    """One input column of the reference."""

    bins: Bins
    counts: Counts


class PerformanceReference(msgspec.Struct, frozen=True, kw_only=True):
    """The performance a version was promoted with, and where the figure comes from."""

    estimate: Estimate
    source: str


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """What windows of a promoted version are compared with.

    Attributes:
        number: counts the references of a model from 1; each promotion makes the next.
        started_at: windows begin here.
        performance: by metric; empty until the first window of the version has matured, when no gate measured it.
        inputs: digest of the object with the columns; empty until there are rows to make it of.
        inputs_from: which rows the inputs were counted on.
    """

    model: str
    number: int
    version: int
    started_at: datetime
    performance: dict[str, PerformanceReference] = {}
    inputs: str = ""
    inputs_from: str = ""


class WindowFigure(msgspec.Struct, frozen=True, kw_only=True):
    """The performance of a window as it was known at one time; a later label makes another figure, and both are kept.

    Attributes:
        metrics: on the rows that the monitored version answered.
        judged: rows behind the metrics.
    """

    as_of: datetime
    labelled: int
    judged: int
    metrics: dict[str, Estimate]


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """The predictions of a deployment between two times.

    Attributes:
        version: the version whose performance is judged; `versions` counts the rows of every version.
        state: `provisional` until enough labels have arrived.
        verdict: how its performance was judged; empty before.
        figure: the newest figure.
        drift: verdict of the inputs; empty when they are not compared.
    """

    model: str
    reference: int
    version: int
    start: datetime
    end: datetime
    rows: int
    versions: dict[int, int]
    state: WindowState = "provisional"
    verdict: Literal["", "ok", "bad", "insufficient", "reference"] = ""
    reason: str = ""
    figure: WindowFigure | None = None
    judged_at: datetime | None = None
    drift: Literal["", "drift", "none", "insufficient"] = ""
    drifted: list[str] = []


class ColumnDrift(msgspec.Struct, frozen=True, kw_only=True):
    """One column of a window against the reference.

    Attributes:
        distance: Jensen-Shannon distance, 0 to 1, of the pooled bins.
        psi: population stability index of the same bins.
        ks: largest difference of the cumulative shares; None for categories.
        wasserstein: earth mover's distance in standard deviations of the reference, from the bins; None for categories.
        p_value: chance of such a distance when the true one is delta; None when there are too few rows.
        null_share, reference_null_share: share of rows without a value.
        out_of_range_share: share of values outside of the reference's range.
        unseen_share: share of values that the reference never saw; None when it did not keep all of them.
    """

    name: str
    kind: BinKind
    rows: int
    bins: int
    verdict: DriftVerdict
    distance: float | None = None
    psi: float | None = None
    ks: float | None = None
    wasserstein: float | None = None
    p_value: float | None = None
    null_share: float = 0.0
    reference_null_share: float = 0.0
    out_of_range_share: float = 0.0
    unseen_share: float | None = None


class DriftReport(msgspec.Struct, frozen=True, kw_only=True):
    """The inputs of a window against the reference.

    Attributes:
        broken: one sentence for each column whose nulls or new values show broken data.
    """

    model: str
    reference: int
    start: datetime
    end: datetime
    delta: float
    verdict: DriftVerdict
    columns: list[ColumnDrift]
    broken: list[str] = []

    @property
    def drifted(self) -> list[str]:
        """Return the names of the columns that drifted, the farthest first."""
        found = [column for column in self.columns if column.verdict == "drift"]
        return [column.name for column in sorted(found, key=lambda column: -(column.distance or 0.0))]


class SkewReport(msgspec.Struct, frozen=True, kw_only=True):
    """Rows a model was trained on against rows it is asked about, or one version against another.

    Attributes:
        training, serving: what was compared.
        verdict: `drift` when a column is skewed or broken.
        columns: figures of each column; the reference is the training.
        broken: one sentence for each column of another type, or whose nulls or new values show broken data.
        passed_over: columns of times, which move on.
        only_training, only_serving: columns that one side has; a feature among the first is not served.
    """

    training: str
    serving: str
    training_rows: int
    serving_rows: int
    delta: float
    verdict: DriftVerdict
    columns: list[ColumnDrift]
    broken: list[str] = []
    passed_over: list[str] = []
    only_training: list[str] = []
    only_serving: list[str] = []

    @property
    def skewed(self) -> list[str]:
        """Return the names of the columns that are skewed, the farthest first."""
        found = [column for column in self.columns if column.verdict == "drift"]
        return [column.name for column in sorted(found, key=lambda column: -(column.distance or 0.0))]


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """How a window's performance compares with the reference, and why."""

    state: Literal["ok", "bad", "insufficient"]
    reason: str


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """A watched figure in its newest window: the value with its interval, the limit, and the state."""

    name: str
    state: SignalState
    at: datetime
    value: float | None = None
    low: float | None = None
    high: float | None = None
    reference: float | None = None
    limit: float | None = None
    reason: str = ""
