"""Laws of artifacts: what is stored comes back, and equal contents have equal digests."""

from __future__ import annotations

import copy
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


@given(ARRAYS)
@settings(deadline=None, max_examples=40)
def test_arrays_come_back_with_type_and_shape(value: Any) -> None:
    artifact = dump(value, STORE, where="x")
    again: Any = load(artifact, STORE)

    assert (again.dtype, again.shape) == (value.dtype, value.shape)
    assert np.array_equal(again, value, equal_nan=value.dtype == np.float64)
    assert dump(value.copy(), STORE, where="y").digest == artifact.digest
