"""The object store on S3 (a moto server on loopback) keeps the contract, repairs and collects."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from everloop.core.ids import new_id
from everloop.kernel.objects import ObjectStore
from everloop.kernel.objects.collection import collect
from everloop.kernel.objects.files import StoreUnavailableError
from everloop.kernel.objects.files.remote import InvalidStoreOptionError
from everloop.kernel.objects.fsck import BareStore, check_store, reindex
from everloop.testing.objects import DeletingStoreContract

if TYPE_CHECKING:
    from pathlib import Path

    from everloop.kernel.objects import Objects
    from everloop.kernel.operations import Kernel

pytestmark = pytest.mark.integration


@pytest.fixture
def s3(kernel: Kernel, s3_options: dict[str, str], tmp_path: Path) -> ObjectStore:
    url = f"s3://everloop/{new_id()}"
    return ObjectStore(kernel.catalog, url, cache=tmp_path / "cache", options=s3_options)


class TestS3(DeletingStoreContract):
    @pytest.fixture
    def objects(self, s3: ObjectStore) -> Objects:
        return s3


def test_a_large_object_has_a_verified_local_copy(s3: ObjectStore) -> None:
    content = bytes(range(256)) * 50_000
    digest = s3.put([content[:5_000_000], content[5_000_000:]])

    assert s3.path(digest).read_bytes() == content
    assert s3.path(digest) == s3.path(digest)


def test_a_collection_rewrites_packs_on_s3(s3: ObjectStore) -> None:
    digests = s3.put_many([bytes([number]) * 1_000 for number in range(10)])

    report = collect(s3, [(digests[0], "in use")], grace=timedelta(0))

    assert (len(report.removed), report.packs_rewritten) == (9, 1)
    assert s3.get(digests[0]) == bytes(1_000)
    assert check_store(s3).unreferenced == []


def test_a_folder_is_repaired_from_s3(s3: ObjectStore, s3_options: dict[str, str], tmp_path: Path) -> None:
    digests = [s3.put(b"loose"), *s3.put_many([b"one", b"two"])]
    folder = ObjectStore(s3.catalog, str(tmp_path / "folder"), cache=tmp_path / "cache")
    source = BareStore(s3.files.place, staging=tmp_path / "spool", options=s3_options)

    # the rows name files of the bucket; in the new folder all of them are missing
    report = check_store(folder, repair_from=source)

    assert set(report.repaired) == set(digests)
    assert [folder.get(digest) for digest in digests] == [b"loose", b"one", b"two"]


def test_rows_are_rebuilt_from_s3(s3: ObjectStore) -> None:
    digest = s3.put(b"content")
    with s3.catalog.transaction() as connection:
        connection.exec_driver_sql("DELETE FROM object")
    s3.forget([digest])

    assert reindex(s3).added == 1
    assert s3.get(digest) == b"content"


def test_a_bucket_that_does_not_exist_is_an_error_with_a_way_out(
    kernel: Kernel, s3_options: dict[str, str], tmp_path: Path
) -> None:
    store = ObjectStore(kernel.catalog, "s3://nobody-has-this", cache=tmp_path, options=s3_options)

    with pytest.raises((StoreUnavailableError, FileNotFoundError)):
        store.put(b"content")


def test_an_unknown_option_of_the_store_is_refused_in_words(
    kernel: Kernel, s3_options: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(InvalidStoreOptionError, match="access_key_id"):
        ObjectStore(kernel.catalog, "s3://b", cache=tmp_path, options={**s3_options, "allow_http": "true"})
