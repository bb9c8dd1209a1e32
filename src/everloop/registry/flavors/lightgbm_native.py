"""The few calls of LightGBM's public C interface that run a model (c_api.h, stable since version 3).

Written by hand because the Python package builds a data set object a call and loads pandas and SciPy. Tests:
tests/contract/test_flavors.py compares it with `Booster.predict`, bit for bit.
"""

from __future__ import annotations

import ctypes
import importlib.util
import threading
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from everloop.core.errors import EverloopError, MissingExtraError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FLOAT64 = 1
_NORMAL = 0
_CONTRIBUTIONS = 3
_ALL_ITERATIONS = -1
_PARAMETERS = b"num_threads=1 verbosity=-1"
_NAMES = ("lib_lightgbm.so", "lib_lightgbm.dylib", "lib_lightgbm.dll")


class BrokenBoosterError(EverloopError):
    """LightGBM refused a model or a matrix."""

    code = "registry.broken-booster"
    status = 500


class NativeBooster:
    """A loaded booster. Threads may share it: the fast path of one row is guarded by a lock.

    Attributes:
        outputs: numbers a row, 1 unless there are several classes.
    """

    def __init__(self, text: bytes, *, columns: int) -> None:
        self._library = library()
        self._columns = columns
        self._handle = ctypes.c_void_p()
        self._fast = ctypes.c_void_p()
        self._lock = threading.Lock()
        iterations = ctypes.c_int()
        self._check(
            self._library.LGBM_BoosterLoadModelFromString(
                ctypes.c_char_p(text), ctypes.byref(iterations), ctypes.byref(self._handle)
            )
        )
        self.outputs = self._count("LGBM_BoosterGetNumClasses")
        self._check_columns()
        self._prepare_one_row()

    def predict_one(self, row: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the answer (1,) for a contiguous matrix (1, k)."""
        with self._lock:
            status = self._run_fast(self._fast, row.ctypes.data, self._length_at, self._answer_at)
            answer = self._answer.value
        if status:
            self._check(status)
        return np.array((answer,))

    def predict_many(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the answers (n, outputs) for a contiguous matrix (n, k)."""
        return self._run(rows, _NORMAL, self.outputs)

    def contributions(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the contributions (n, (k + 1) * outputs) for a contiguous matrix (n, k)."""
        return self._run(rows, _CONTRIBUTIONS, (self._columns + 1) * self.outputs)

    def _run(self, rows: NDArray[np.float64], kind: int, width: int) -> NDArray[np.float64]:
        answers = np.empty((len(rows), width))
        if not len(rows):
            return answers
        length = ctypes.c_int64()
        self._check(
            self._library.LGBM_BoosterPredictForMat(
                self._handle,
                ctypes.c_void_p(rows.ctypes.data),
                _FLOAT64,
                ctypes.c_int32(rows.shape[0]),
                ctypes.c_int32(rows.shape[1]),
                1,
                kind,
                0,
                _ALL_ITERATIONS,
                _PARAMETERS,
                ctypes.byref(length),
                ctypes.c_void_p(answers.ctypes.data),
            )
        )
        return answers

    def _prepare_one_row(self) -> None:
        self._check(
            self._library.LGBM_BoosterPredictForMatSingleRowFastInit(
                self._handle,
                _NORMAL,
                0,
                _ALL_ITERATIONS,
                _FLOAT64,
                ctypes.c_int32(self._columns),
                _PARAMETERS,
                ctypes.byref(self._fast),
            )
        )
        self._length, self._answer = ctypes.c_int64(), ctypes.c_double()
        self._length_at, self._answer_at = ctypes.byref(self._length), ctypes.byref(self._answer)
        self._run_fast = self._library.LGBM_BoosterPredictForMatSingleRowFast

    def _check_columns(self) -> None:
        expected = self._count("LGBM_BoosterGetNumFeature")
        if expected != self._columns:
            raise BrokenBoosterError(
                f"the booster takes {expected} columns, the signature has {self._columns}. "
                "Give `features` exactly as they were at training."
            )

    def _count(self, name: str) -> int:
        found = ctypes.c_int()
        self._check(getattr(self._library, name)(self._handle, ctypes.byref(found)))
        return found.value

    def _check(self, status: int) -> None:
        if status:
            reason = self._library.LGBM_GetLastError().decode(errors="replace")
            raise BrokenBoosterError(f"LightGBM refused: {reason}")

    def __del__(self) -> None:
        """Give the memory of the model back."""
        if getattr(self, "_fast", None):
            self._library.LGBM_FastConfigFree(self._fast)
        if getattr(self, "_handle", None):
            self._library.LGBM_BoosterFree(self._handle)


@cache
def library() -> ctypes.CDLL:
    """Return LightGBM's shared library, found without importing its package.

    Raises:
        MissingExtraError: LightGBM is not installed.
    """
    found = importlib.util.find_spec("lightgbm")
    folders = [Path(place) for place in (found.submodule_search_locations or [])] if found else []
    files = [folder / part / name for folder in folders for part in ("lib", "bin", ".") for name in _NAMES]
    path = next((file for file in files if file.is_file()), None)
    if path is None:
        raise MissingExtraError(
            'the model is a LightGBM booster, and LightGBM is not installed. Run: pip install "everloop[lightgbm]"'
        )
    loaded = ctypes.CDLL(str(path))
    loaded.LGBM_GetLastError.restype = ctypes.c_char_p
    loaded.LGBM_BoosterPredictForMatSingleRowFast.argtypes = [ctypes.c_void_p] * 4
    return loaded
