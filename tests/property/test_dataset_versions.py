"""Appending piece by piece reaches the content, and the digest, of adding the whole at once."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.data import contents, service, table
from everloop.data.service import Data
from everloop.kernel.runtime import open_kernel
from everloop.kernel.settings import Settings

pieces = st.lists(
    st.lists(st.one_of(st.none(), st.integers(0, 9)), min_size=1, max_size=6), min_size=1, max_size=5
)


@settings(deadline=None, max_examples=12)
@given(pieces)
def test_append_and_replace_reach_the_same_digest(values: list[list[int | None]]) -> None:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        for module in (contents, service, table):
            patch.setattr(module, "CHUNK_ROWS", 4)
        kernel = open_kernel(Settings(home=Path(name)))
        data = Data(kernel)
        records = [[{"a": value, "one": 1} for value in piece] for piece in values]
        whole = data.add("whole", [record for piece in records for record in piece])
        typed = data.read("whole").schema
        last = whole
        for piece in records:
            rows = [record["a"] for record in piece]
            source = typed.empty_table().from_pydict({"a": rows, "one": [1] * len(rows)}, schema=typed)
            last = data.add("grown", source, mode="append")
        assert last.digest == whole.digest
        assert data.add("grown", data.read("whole")).is_unchanged
        assert data.read("grown").to_arrow().equals(data.read("whole").to_arrow())
        kernel.close()
