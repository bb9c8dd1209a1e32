"""Laws of artifacts: what is stored comes back, and equal contents have equal digests."""

from __future__ import annotations

import copy
import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from everloop.kernel import open_kernel
from everloop.kernel.settings import Settings
from everloop.pipelines.artifacts import dump, load
from everloop.pipelines.codecs.protocol import Store
from everloop.pipelines.codecs.tables import npy_pieces

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
KINDS: list[np.dtype[Any]] = [np.dtype(name) for name in ("f8", "i4", "bool", "<U3")]
ARRAYS: st.SearchStrategy[Any] = st.sampled_from(KINDS).flatmap(
    lambda kind: arrays.arrays(dtype=kind, shape=arrays.array_shapes(min_dims=0, max_dims=3, max_side=4))
)


def a_store() -> Store:
    folder = Path(tempfile.mkdtemp())
    return Store(open_kernel(Settings(home=folder)).objects, folder)


STORE = a_store()


@given(PLAIN)
@settings(deadline=None)
def test_plain_values_come_back(value: Any) -> None:
    artifact = dump(value, STORE, where="x")

    assert (artifact.codec, load(artifact, STORE)) == ("json", value)
    assert dump(copy.deepcopy(value), STORE, where="y").digest == artifact.digest


LAYOUTS: dict[str, Any] = {
    "as it is": lambda value: value,
    "turned": lambda value: value.T,
    "every second": lambda value: value[::2] if value.ndim else value,
    "backwards": lambda value: value[..., ::-1] if value.ndim else value,
}
ROWS = np.dtype([("a", "i4"), ("b", "<U2")])
MORE_KINDS: list[np.dtype[Any]] = [*KINDS, np.dtype("M8[s]"), np.dtype("c16"), np.dtype(">i2"), ROWS]


@given(
    st.sampled_from(MORE_KINDS).flatmap(
        lambda kind: arrays.arrays(dtype=kind, shape=arrays.array_shapes(min_dims=0, min_side=0, max_side=4))
    ),
    st.sampled_from(sorted(LAYOUTS)),
)
@settings(deadline=None, max_examples=200)
def test_the_pieces_of_an_array_are_the_file_that_numpy_writes(value: Any, layout: str) -> None:
    laid = LAYOUTS[layout](value)
    file = io.BytesIO()
    np.save(file, laid, allow_pickle=False)

    assert b"".join(npy_pieces(laid)) == file.getvalue()


@given(ARRAYS)
@settings(deadline=None, max_examples=40)
def test_arrays_come_back_with_type_and_shape(value: Any) -> None:
    artifact = dump(value, STORE, where="x")
    again: Any = load(artifact, STORE)

    assert (again.dtype, again.shape) == (value.dtype, value.shape)
    assert np.array_equal(again, value, equal_nan=value.dtype == np.float64)
    assert dump(value.copy(), STORE, where="y").digest == artifact.digest
