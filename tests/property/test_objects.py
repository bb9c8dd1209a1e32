"""Any sequence of puts, packs and collections reads back what is still referred to."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from everloop.core.digests import Digest, digest_bytes
from everloop.kernel.catalog import Catalog
from everloop.kernel.objects import ObjectStore
from everloop.kernel.objects.collection import collect
from everloop.kernel.objects.fsck import check_store

contents = st.binary(max_size=200)
actions = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.lists(contents, min_size=1, max_size=1)),
        st.tuples(st.just("put_many"), st.lists(contents, max_size=8)),
        st.tuples(st.just("delete"), st.lists(contents, min_size=1, max_size=1)),
        st.tuples(st.just("collect"), st.lists(contents, max_size=4)),
    ),
    max_size=12,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(actions)
def test_any_sequence_reads_back(sequence: list[tuple[str, list[bytes]]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        catalog = Catalog(f"sqlite:///{name}/catalog.db")
        store = ObjectStore(catalog, f"{name}/store", cache=Path(name, "cache"))
        expected: dict[Digest, bytes] = {}
        for action, values in sequence:
            act(store, expected, action, values)
            assert {digest: store.get(digest) for digest in expected} == expected
        assert check_store(store).is_clean
        assert check_store(store).checked == len(expected)
        catalog.close()


def act(store: ObjectStore, expected: dict[Digest, bytes], action: str, values: list[bytes]) -> None:
    named = {digest_bytes(value): value for value in values}
    if action == "put":
        store.put(values[0])
        expected.update(named)
    elif action == "put_many":
        assert store.put_many(values) == [digest_bytes(value) for value in values]
        expected.update(named)
    elif action == "delete":
        store.delete(digest_bytes(values[0]))
        expected.pop(digest_bytes(values[0]), None)
    else:
        collect(store, [(digest, "named") for digest in named], grace=timedelta(0))
        for digest in set(expected) - set(named):
            del expected[digest]
