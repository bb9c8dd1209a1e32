"""The same rows have the same digest, whatever verbs led to them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.data.service import Data
from everloop.kernel.runtime import open_kernel
from everloop.kernel.settings import Settings

keys = st.integers(0, 12)
rows = st.dictionaries(keys, st.one_of(st.none(), st.integers(0, 3)), min_size=1, max_size=8)
verbs = st.lists(
    st.one_of(
        st.tuples(st.just("replace"), rows),
        st.tuples(st.just("upsert"), rows),
        st.tuples(st.just("append"), rows),
        st.tuples(st.just("remove"), st.integers(0, 12)),
        st.tuples(st.just("revert"), st.integers(1, 3)),
    ),
    min_size=1,
    max_size=7,
)


def table_of(values: dict[int, int | None]) -> pa.Table:
    return pa.table({"k": pa.array(values, pa.int64()), "v": pa.array(values.values(), pa.int64())})


@settings(deadline=None, max_examples=25)
@given(rows, verbs)
def test_any_way_to_the_same_rows_has_the_same_digest(
    first: dict[int, int | None], steps: list[tuple[str, object]]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        kernel = open_kernel(Settings(home=Path(name)))
        data = Data(kernel)
        state, history = dict(first), [dict(first)]
        data.add("t", table_of(first), keys=["k"])
        for verb, given_value in steps:
            before = data.version("t").version
            state = _take(data, verb, given_value, state, history)
            if data.version("t").version != before:
                history.append(dict(state))
            read = data.read("t").to_arrow().to_pydict()
            assert dict(zip(read["k"], read["v"], strict=True)) == state
            assert data.version("t").rows == len(read["k"]) == len(state)
            if state:
                assert data.read("t").digest == data.add("whole", table_of(state)).digest
        for number, content in enumerate(history, 1):
            read = data.read(f"t@v{number}").to_arrow().to_pydict()
            assert dict(zip(read["k"], read["v"], strict=True)) == content
        kernel.close()


def _take(
    data: Data,
    verb: str,
    value: object,
    state: dict[int, int | None],
    history: list[dict[int, int | None]],
) -> dict[int, int | None]:
    """Do one verb on the dataset and on a dict that says what it should hold."""
    if isinstance(value, dict):
        if verb == "append":
            value = {key: item for key, item in value.items() if key not in state}
        if value:
            data.add("t", table_of(value), mode=verb)  # type: ignore[arg-type]  # one of the modes
        return {**({} if verb == "replace" else state), **value} if value else state
    if verb == "remove":
        data.remove("t", f"k = {value}")
        return {key: item for key, item in state.items() if key != value}
    to = max(1, len(history) - int(str(value)))
    data.revert("t", f"v{to}")
    return dict(history[to - 1])
