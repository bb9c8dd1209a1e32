"""Metric series: columns of points, sealed and compressed, with what a chart needs beside them. Tests: tests/unit/tracking/series."""

from everloop.tracking.series.chart import Chart
from everloop.tracking.series.columns import Columns, PointColumns

__all__ = ["Chart", "Columns", "PointColumns"]
