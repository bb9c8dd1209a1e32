"""The inputs of a reference are frozen on rows of the log, and a window is compared on them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from everloop.monitoring import reference
from everloop.monitoring.records import Reference, Window
from everloop.registry.records import Column, Output, Signature

START = datetime(2013, 2, 1, tzinfo=UTC)
SIGNATURE = Signature(
    inputs=[
        Column(name="a", kind="double"),
        Column(name="time", kind="double"),
        Column(name="code", kind="long", categories=[1, 2]),
        Column(name="gone", kind="string"),
    ],
    output=Output(kind="probability", target="late"),
)
BASE = Reference(model="m", number=1, version=1, started_at=START)


def rows(count: int, *, nulls: float = 0.0) -> pa.Table:
    generator = np.random.default_rng(count)
    values = generator.normal(size=count)
    return pa.table(
        {
            "time": [START] * count,
            "a": pa.array(values, mask=generator.random(count) < nulls),
            "feature.time": generator.normal(size=count),
            "code": generator.integers(1, 3, count),
        }
    )


def window(table: pa.Table) -> Window:
    end = START + timedelta(days=7)
    return Window(
        model="m", reference=1, version=1, start=START, end=end, rows=table.num_rows, versions={1: 1}
    )


def test_columns_are_binned_by_the_signature_and_found_under_their_names_in_the_log() -> None:
    found = reference.decode(reference.encode(reference.freeze(rows(1_000), SIGNATURE)))
    assert [(column.bins.name, column.bins.kind) for column in found] == [
        ("a", "number"),
        ("feature.time", "number"),
        ("code", "category"),
    ]


def test_a_window_of_nulls_is_broken_and_drifted() -> None:
    columns = reference.freeze(rows(5_000), SIGNATURE)
    table = rows(3_000, nulls=0.3)
    found = reference.compare(columns, table, window=window(table), reference=BASE, delta=0.05)
    assert (found.verdict, found.drifted) == ("drift", ["a"])
    assert found.broken[0].startswith("a: ")


def test_a_window_without_rows_is_insufficient() -> None:
    columns = reference.freeze(rows(5_000), SIGNATURE)
    table = pa.table({})
    found = reference.compare(columns, table, window=window(table), reference=BASE, delta=0.05)
    assert (found.verdict, found.broken) == ("insufficient", [])
