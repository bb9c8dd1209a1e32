"""Sealed points: three columns in few bytes, and back, exactly.

A column of numbers is stored as differences where that is exact, its bytes are sorted by their place in the number (so that alike bytes lie
together), and zstd does the rest. Steps and regular times cost almost nothing; values cost what their digits hold.
Laws: tests/property/test_series.py.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import zstandard

from everloop.core.compression import compress, decompress
from everloop.core.errors import EverloopError
from everloop.tracking.series.columns import Columns

if TYPE_CHECKING:
    import numpy.typing as npt

_FORMAT = 1
_HEAD = struct.Struct(
    "<BBBIII"
)  # format, coding of steps, coding of values, points, bytes of steps, bytes of times
_PLAIN, _WHOLE, _SINGLE = 0, 1, 2
_EXACT = 2.0**52


class SeriesDamagedError(EverloopError):
    """Sealed points cannot be read."""

    code = "tracking.series-damaged"
    status = 500


def encode(columns: Columns) -> bytes:
    """Return the points as bytes; `decode` gives back the same bits."""
    step_coding, steps = _encode_steps(columns.steps)
    times = _squeeze(np.diff(np.diff(columns.times, prepend=0), prepend=0))
    value_coding, values = _encode_values(columns.values)
    head = _HEAD.pack(_FORMAT, step_coding, value_coding, len(columns.steps), len(steps), len(times))
    return head + steps + times + values


def decode(data: bytes) -> Columns:
    """Return what `encode` was given.

    Raises:
        SeriesDamagedError: these are no sealed points, or not of a format known here.
    """
    try:
        form, step_coding, value_coding, count, step_bytes, time_bytes = _HEAD.unpack_from(data)
        if form != _FORMAT:
            raise SeriesDamagedError(
                f"sealed points have format {form}. Update Everloop, or restore a backup."
            )
        start, middle = _HEAD.size, _HEAD.size + step_bytes
        steps = _stretch(data[start:middle], count, "<f8" if step_coding == _PLAIN else "<i8")
        times = _stretch(data[middle : middle + time_bytes], count, "<i8")
        values = _stretch(data[middle + time_bytes :], count, "<f4" if value_coding == _SINGLE else "<f8")
    except (struct.error, zstandard.ZstdError, ValueError) as error:
        raise SeriesDamagedError(
            f"sealed points cannot be read: {error}. Run `everloop doctor`, or restore a backup."
        ) from error
    if step_coding == _WHOLE:
        steps = np.cumsum(steps)
    return Columns(steps.astype(np.float64), np.cumsum(np.cumsum(times)), values.astype(np.float64))


def _encode_steps(steps: npt.NDArray[np.float64]) -> tuple[int, bytes]:
    whole = bool((np.abs(steps) < _EXACT).all()) and bool((steps == np.trunc(steps)).all())
    # -0.0 is a whole number whose sign an integer would lose.
    if whole and not np.signbit(steps[steps == 0]).any():
        return _WHOLE, _squeeze(np.diff(steps.astype(np.int64), prepend=0))
    return _PLAIN, _squeeze(steps)


def _encode_values(values: npt.NDArray[np.float64]) -> tuple[int, bytes]:
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    if (single.astype(np.float64).view(np.int64) == values.view(np.int64)).all():
        return _SINGLE, _squeeze(single)
    return _PLAIN, _squeeze(values)


def _squeeze(numbers: npt.NDArray[np.generic]) -> bytes:
    width = numbers.dtype.itemsize
    planes = np.ascontiguousarray(numbers).view(np.uint8).reshape(-1, width).T
    return compress(np.ascontiguousarray(planes).tobytes())


def _stretch(data: bytes, count: int, kind: str) -> npt.NDArray[Any]:
    width = np.dtype(kind).itemsize
    plain = decompress(data, most=count * width)
    planes = np.frombuffer(plain, np.uint8).reshape(width, count)
    return np.ascontiguousarray(planes.T).view(kind).reshape(count)
