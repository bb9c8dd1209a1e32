"""A merge gives what changing the base by both sides gives, whichever side it starts from."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.data.merging import merge_tables
from everloop.data.parts import store_rows
from everloop.data.table import Table
from everloop.kernel.runtime import open_kernel
from everloop.kernel.settings import Settings

tables = st.dictionaries(st.integers(0, 8), st.integers(0, 2), max_size=8)


def merged(
    base: dict[int, int], ours: dict[int, int], theirs: dict[int, int], *, by_key: bool
) -> tuple[list[tuple[int, int]], str]:
    with tempfile.TemporaryDirectory() as name:
        kernel = open_kernel(Settings(home=Path(name)))
        columns = [
            pa.table({"k": pa.array(side, pa.int64()), "v": pa.array(side.values(), pa.int64())})
            for side in (base, ours, theirs)
        ]
        stored = [store_rows([table], kernel.objects) for table in columns]
        keys = ["k"] if by_key else []
        found = merge_tables(
            stored[0], stored[1], stored[2], kernel.objects, keys=keys, prefer="ours"
        ).content
        rows = Table.open(found, kernel.objects).to_arrow().to_pydict()
        assert found.digest == Table(arrow=Table.open(found, kernel.objects).to_arrow()).digest
        kernel.close()
        return sorted(zip(rows["k"], rows["v"], strict=True)), found.digest


@settings(deadline=None, max_examples=40)
@given(tables, tables, tables)
def test_a_merge_by_key_is_that_of_three_dicts(
    base: dict[int, int], ours: dict[int, int], theirs: dict[int, int]
) -> None:
    expected = dict(ours)
    for key in base.keys() | theirs.keys():
        if base.get(key) != theirs.get(key) and ours.get(key) == base.get(key):
            expected.pop(key, None)
            if key in theirs:
                expected[key] = theirs[key]

    assert merged(base, ours, theirs, by_key=True)[0] == sorted(expected.items())


@settings(deadline=None, max_examples=20)
@given(tables, tables, tables)
def test_without_conflicts_it_does_not_matter_who_merges_whom(
    base: dict[int, int], ours: dict[int, int], theirs: dict[int, int]
) -> None:
    # theirs leaves alone what ours changed
    apart = {
        key: theirs.get(key) if ours.get(key) == base.get(key) else base.get(key)
        for key in base.keys() | theirs.keys() | ours.keys()
    }
    theirs = {key: value for key, value in apart.items() if value is not None}

    assert merged(base, ours, theirs, by_key=True) == merged(base, theirs, ours, by_key=True)
    assert merged(base, ours, theirs, by_key=False) == merged(base, theirs, ours, by_key=False)
