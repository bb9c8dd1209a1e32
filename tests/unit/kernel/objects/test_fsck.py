"""A check finds every damage, a repair mends it, and the rows can be rebuilt from the files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from everloop.kernel.objects import ObjectStore
from everloop.kernel.objects.fsck import BareStore, check_store, reindex
from everloop.kernel.objects.tables import stored

if TYPE_CHECKING:
    from tests.conftest import MakeKernel

    from everloop.core.digests import Digest


@pytest.fixture
def remote(make_kernel: MakeKernel, tmp_path: Path) -> ObjectStore:
    other = make_kernel(home=tmp_path / "elsewhere")
    return ObjectStore(other.catalog, str(tmp_path / "remote"), cache=tmp_path / "remote-cache")


def fill(store: ObjectStore) -> list[Digest]:
    return [store.put(b"loose"), *store.put_many([b"packed one", b"packed two"])]


def overwrite(store: ObjectStore, pattern: str, content: bytes) -> None:
    path = next(Path(store.files.place).glob(pattern))
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.write(content)


def test_a_whole_store_is_clean(store: ObjectStore) -> None:
    fill(store)

    report = check_store(store)

    assert report.is_clean
    assert (report.checked, report.checked_bytes, report.unreferenced) == (3, 25, [])


def test_damage_is_found_in_loose_and_packed_objects(store: ObjectStore) -> None:
    loose, one, _ = fill(store)
    overwrite(store, "objects/*/*", b"L")
    overwrite(store, "packs/*", b"P")

    assert set(check_store(store).corrupt) == {loose, one}


def test_a_missing_file_is_found_without_reading(store: ObjectStore) -> None:
    loose, *_ = fill(store)
    next(Path(store.files.place).glob("objects/*/*")).unlink()

    assert check_store(store, quick=True).missing == [loose]


def test_a_file_without_a_row_is_reported(store: ObjectStore) -> None:
    store.files.write("packs/stray.pack", [b"x"], durable=False)

    report = check_store(store)

    assert report.unreferenced == ["packs/stray.pack"]
    assert report.is_clean


def test_a_repair_fetches_good_bytes_from_loose_and_packed_objects(
    store: ObjectStore, remote: ObjectStore
) -> None:
    loose, one, two = fill(store)
    fill(remote)
    overwrite(store, "packs/*", b"P")
    next(Path(store.files.place).glob("objects/*/*")).unlink()

    report = check_store(store, repair_from=BareStore(remote.files.place, staging=remote.files.staging))

    assert (report.missing, report.corrupt, set(report.repaired)) == ([], [], {loose, one})
    assert [store.get(digest) for digest in (loose, one, two)] == [b"loose", b"packed one", b"packed two"]
    assert check_store(store).is_clean


def test_a_repair_takes_no_damaged_bytes(store: ObjectStore, remote: ObjectStore) -> None:
    loose = store.put(b"loose")
    remote.put(b"loose")
    for each in (store, remote):
        overwrite(each, "objects/*/*", b"L")

    report = check_store(store, repair_from=BareStore(remote.files.place, staging=remote.files.staging))

    assert (report.corrupt, report.repaired) == ([loose], [])


def test_the_rows_are_rebuilt_from_the_files(store: ObjectStore) -> None:
    digests = fill(store)
    with store.catalog.transaction() as connection:
        connection.execute(sa.delete(stored))
    store.forget(digests)

    assert reindex(store).added == 3
    assert [store.get(digest) for digest in digests] == [b"loose", b"packed one", b"packed two"]


def test_a_pack_with_a_damaged_index_is_named(store: ObjectStore) -> None:
    store.files.write("packs/bad.pack", [b"x" * 100], durable=False)

    assert reindex(store).damaged_packs == ["packs/bad.pack"]
