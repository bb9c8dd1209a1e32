"""Bytes of kept media, as the values they were. Tests: tests/unit/tracking/media/test_values.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from everloop.tracking.records import MediaItem


class Bins(NamedTuple):
    """A histogram: counts of shape (n,), borders of shape (n + 1,)."""

    counts: npt.NDArray[np.float64]
    borders: npt.NDArray[np.float64]


def read(item: MediaItem, content: bytes) -> Any:  # noqa: ANN401 - by kind
    """Return a text as `str`, a vector or points as an array, a histogram as `Bins`, a table as Arrow, all else as bytes."""
    if item.kind in ("text", "html", "plotly"):
        return content.decode()
    if item.kind == "table":
        import pyarrow as pa
        import pyarrow.parquet as pq

        return pq.read_table(pa.BufferReader(content))
    if item.kind not in ("vector", "histogram", "points"):
        return content
    import numpy as np

    if item.kind == "points":
        return np.frombuffer(content, "<f4").reshape(-1, int(item.details["columns"] or 3))
    numbers = np.frombuffer(content, "<f8")
    if item.kind == "vector":
        return numbers
    bins = int(item.details["bins"] or 1)
    return Bins(numbers[:bins], numbers[bins:])
