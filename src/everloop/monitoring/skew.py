"""Training against serving: the same columns in the rows a model was trained on and in those it is asked about.

Bins are frozen on the training rows and both sides are counted on them, so that figures and verdicts are those of drift: the
Jensen-Shannon distance tested against `delta`, Benjamini-Hochberg over the columns. A column of times is passed over, for
times move on. Tests: tests/unit/monitoring/test_skew.py, tests/integration/test_monitoring.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from everloop.core.errors import InvalidInputError
from everloop.monitoring import drift, histograms, rules
from everloop.monitoring.records import SkewReport
from everloop.serving.prediction_log import LOG_COLUMNS, feature_column

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from everloop.data.table import Table
    from everloop.monitoring.records import BinKind


class NoSkewRowsError(InvalidInputError):
    """One of the two sides has no rows, or they share no column."""

    code = "monitoring.no-skew-rows"


class Side(NamedTuple):
    """One of the two samples.

    Attributes:
        name: what it is, for people.
        rows: how many.
        types: Arrow type by column.
        read: reads one column.
    """

    name: str
    rows: int
    types: dict[str, pa.DataType]
    read: Callable[[str], Any]


def side_of_table(table: Table) -> Side:
    """Return a dataset version as a side; columns are read one at a time."""
    schema = table.schema
    return Side(
        table.name,
        table.num_rows,
        {field.name: field.type for field in schema},
        lambda name: table.to_arrow([name]).column(0),
    )


def side_of_predictions(rows: pa.Table, *, name: str) -> Side:
    """Return logged predictions as a side: the features under their own names."""
    logged = [column for column in rows.column_names if column not in LOG_COLUMNS]
    names = {
        column.removeprefix("feature.")
        if feature_column(column.removeprefix("feature.")) == column
        else column: column
        for column in logged
    }
    types = {ours: rows.schema.field(column).type for ours, column in names.items()}
    return Side(name, rows.num_rows, types, lambda ours: rows[names[ours]])


def compare_sides(training: Side, serving: Side, *, delta: float, columns: Sequence[str] = ()) -> SkewReport:
    """Compare what a model was trained on with what it is asked about.

    Args:
        training: whose bins are frozen.
        serving: the window or the other version.
        delta: the Jensen-Shannon distance up to which a shift is harmless.
        columns: only these; by default all that both have.

    Raises:
        NoSkewRowsError: there is nothing to compare.
    """
    shared = [name for name in training.types if name in serving.types and (not columns or name in columns)]
    absent = [name for name in columns if name not in shared]
    if absent or not shared or not training.rows or not serving.rows:
        what = (
            f"no column {', '.join(absent) or 'is in both'}" if absent or not shared else "a side has no rows"
        )
        raise NoSkewRowsError(
            f"{training.name} and {serving.name} cannot be compared: {what}. Name a version and a window that share inputs."
        )
    passed_over = [name for name in shared if pa.types.is_temporal(training.types[name])]
    told = [
        f"{name}: {training.types[name]} in training, {serving.types[name]} in serving"
        for name in shared
        if name not in passed_over and _kind(training.types[name]) != _kind(serving.types[name])
    ]
    changed = {one.partition(":")[0] for one in told}
    compared = [name for name in shared if name not in passed_over and name not in changed]
    references = [
        histograms.reference_of(name, _kind(training.types[name]), training.read(name)) for name in compared
    ]
    counts = [histograms.count(one.bins, serving.read(one.bins.name)) for one in references]
    found = drift.compare_columns(references, counts, delta=delta)
    broken = [*told, *rules.broken(found)]
    return SkewReport(
        training=training.name,
        serving=serving.name,
        training_rows=training.rows,
        serving_rows=serving.rows,
        delta=delta,
        verdict="drift" if broken else drift.overall(found),
        columns=found,
        broken=broken,
        passed_over=passed_over,
        only_training=[name for name in training.types if name not in serving.types],
        only_serving=[name for name in serving.types if name not in training.types],
    )


def _kind(kind: pa.DataType) -> BinKind:
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    return "number" if is_number else "category"
