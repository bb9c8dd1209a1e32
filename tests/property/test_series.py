"""Sealed points come back bit by bit, and no chart hides an extreme, whatever the points are."""

from __future__ import annotations

import itertools
import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.tracking.series import coding
from everloop.tracking.series.chart import (
    MINUS_INFINITY,
    NAN,
    PLUS_INFINITY,
    as_chart,
    cut,
    merge,
    summaries_from,
    summaries_of,
)
from everloop.tracking.series.columns import Columns, join

steps = st.one_of(
    st.integers(-(2**40), 2**40).map(float), st.floats(allow_nan=False, allow_infinity=False, width=64)
)
times = st.integers(0, 2**52)
values = st.one_of(st.floats(), st.floats(width=32), st.just(-0.0))
points = st.lists(st.tuples(steps, times, values), max_size=600)


def columns(rows: list[tuple[float, int, float]]) -> Columns:
    return Columns(
        np.array([row[0] for row in rows], np.float64),
        np.array([row[1] for row in rows], np.int64),
        np.array([row[2] for row in rows], np.float64),
    )


def bits(found: Columns) -> list[bytes]:
    return [column.tobytes() for column in found]


@settings(max_examples=200)
@given(points)
def test_sealed_points_come_back_bit_by_bit(rows: list[tuple[float, int, float]]) -> None:
    given_points = columns(rows)
    assert bits(coding.decode(coding.encode(given_points))) == bits(given_points)


@settings(max_examples=100)
@given(points, st.lists(st.integers(0, 600), max_size=5))
def test_pieces_joined_in_any_cut_are_the_points_in_order_each_once(
    rows: list[tuple[float, int, float]], cuts: list[int]
) -> None:
    borders = sorted({0, len(rows), *(min(one, len(rows)) for one in cuts)})
    pieces = [columns(rows[a:b]) for a, b in itertools.pairwise(borders)]
    found = join([*pieces, *pieces])
    seen = {(step + 0.0, time, np.float64(value).tobytes()) for step, time, value in rows}
    got = list(
        zip(found.steps.tolist(), found.times.tolist(), (v.tobytes() for v in found.values), strict=True)
    )
    assert [(step, time) for step, time, _ in got] == sorted((step, time) for step, time, _ in got)
    assert {(step + 0.0, time, value) for step, time, value in got} == seen


@settings(max_examples=200)
@given(points.filter(bool), st.integers(1, 50))
def test_a_chart_shows_each_extreme_and_counts_each_point(
    rows: list[tuple[float, int, float]], buckets: int
) -> None:
    series = join([columns(rows)])
    direct = as_chart("r", "loss", cut(series, buckets=buckets))
    kept = as_chart("r", "loss", merge(summaries_from(summaries_of(series)), buckets=buckets))
    finite = [value for value in series.values.tolist() if math.isfinite(value)]
    for chart in (direct, kept):
        assert chart.points == len(series.steps)
        assert len(chart.steps) <= buckets
        assert max((v for v in chart.greatest if v is not None), default=None) == max(finite, default=None)
        assert min((v for v in chart.least if v is not None), default=None) == min(finite, default=None)
        marks = 0
        for mark in chart.marks:
            marks |= mark
        assert bool(marks & NAN) == bool(np.isnan(series.values).any())
        assert bool(marks & PLUS_INFINITY) == bool((series.values == np.inf).any())
        assert bool(marks & MINUS_INFINITY) == bool((series.values == -np.inf).any())
