"""Freeze the inputs a version is compared with, and count windows on them.

Which rows: those served in the four windows before the promotion, whichever version answered, for they are of the same
season; for a first version, with nothing served before it, those of its first window. A model's training rows would tell
skew as well, but no version keeps the joined features it was trained on. Tests: tests/unit/monitoring/test_reference.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from everloop.monitoring import drift, histograms, rules
from everloop.monitoring.records import ColumnReference, DriftReport
from everloop.serving.prediction_log import feature_column

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from everloop.monitoring.records import BinKind, Reference, Window
    from everloop.registry.records import Column, Signature

# Windows before a promotion whose rows make its reference, and the rows that must be there.
WINDOWS_BEFORE = 4
LEAST_ROWS = 10 * histograms.BINS


def freeze(rows: pa.Table, signature: Signature) -> list[ColumnReference]:
    """Return the reference of every input column that the log has."""
    return [
        histograms.reference_of(feature_column(column.name), _kind(column), rows[feature_column(column.name)])
        for column in signature.inputs
        if feature_column(column.name) in rows.column_names
    ]


def encode(columns: Sequence[ColumnReference]) -> bytes:
    """Return the columns as the content of an object."""
    return msgspec.json.encode(columns)


def decode(content: bytes) -> list[ColumnReference]:
    """Return the columns an object holds."""
    return msgspec.json.decode(content, type=list[ColumnReference])


def compare(
    columns: Sequence[ColumnReference], rows: pa.Table, *, window: Window, reference: Reference, delta: float
) -> DriftReport:
    """Compare the inputs of a window with the reference."""
    names = set(rows.column_names)
    counts = [
        histograms.count(column.bins, rows[column.bins.name])
        if column.bins.name in names
        else histograms.nothing(column.bins)
        for column in columns
    ]
    found = drift.compare_columns(columns, counts, delta=delta)
    return DriftReport(
        model=window.model,
        reference=reference.number,
        start=window.start,
        end=window.end,
        delta=delta,
        verdict=drift.overall(found),
        columns=found,
        broken=rules.broken(found) if rows.num_rows >= LEAST_ROWS else [],
    )


def _kind(column: Column) -> BinKind:
    is_number = column.kind in ("double", "long") and column.categories is None
    return "number" if is_number else "category"
