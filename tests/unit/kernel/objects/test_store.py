"""What a store promises beyond the contract: verification, healing, full disks, packing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from everloop.core.digests import digest_bytes
from everloop.kernel.objects import ObjectStore
from everloop.kernel.objects.files import DiskFullError
from everloop.kernel.objects.protocol import DigestMismatchError, LostObjectError, ObjectNotFoundError

if TYPE_CHECKING:
    from everloop.core.digests import Digest


def files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def damage(store: ObjectStore, digest: Digest) -> None:
    path = store.path(digest)
    path.chmod(0o644)
    path.write_bytes(b"X" + path.read_bytes()[1:])


def test_ten_thousand_small_objects_are_one_file(store: ObjectStore, folder: Path) -> None:
    store.put_many([b"object %d" % number for number in range(10_000)])

    assert len(files_of(folder)) == 1


def test_an_object_file_is_read_only(store: ObjectStore) -> None:
    assert store.path(store.put(b"content")).stat().st_mode & 0o222 == 0


def test_a_damaged_object_is_refused_and_named(store: ObjectStore) -> None:
    digest = store.put(b"precious")
    damage(store, digest)

    with pytest.raises(DigestMismatchError, match=rf"object {digest[:11]} is damaged.*fsck --repair"):
        store.get(digest)


def test_a_read_without_verification_returns_what_is_there(store: ObjectStore) -> None:
    digest = store.put(b"precious")
    damage(store, digest)

    assert store.get(digest, verify=False) == b"Xrecious"


def test_a_truncated_object_is_refused_even_without_verification(store: ObjectStore) -> None:
    digest = store.put(b"precious")
    path = store.path(digest)
    path.chmod(0o644)
    path.write_bytes(b"prec")

    with pytest.raises(DigestMismatchError):
        store.get(digest, verify=False)


def test_an_object_whose_file_vanished_is_lost_and_a_put_heals_it(store: ObjectStore) -> None:
    digest = store.put(b"content")
    store.path(digest).unlink()

    assert not store.exists(digest)
    with pytest.raises(LostObjectError, match="fsck"):
        store.get(digest)
    store.put(b"content")
    assert store.get(digest) == b"content"


def test_a_failing_stream_leaves_no_file(store: ObjectStore, folder: Path) -> None:
    def pieces() -> object:
        yield b"first"
        raise InterruptedError("the source went away")

    with pytest.raises(InterruptedError):
        store.put(pieces())  # type: ignore[arg-type]  # a generator that raises
    assert files_of(folder) == []


FILL = """
import resource, sys
from pathlib import Path
from everloop.kernel.catalog import Catalog
from everloop.kernel.objects import ObjectStore
from everloop.kernel.objects.files import DiskFullError
home = Path(sys.argv[1])
store = ObjectStore(Catalog(f"sqlite:///{home}/catalog.db"), str(home / "store"), cache=home / "cache")
small = store.put(b"before")
resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 20, 4 << 20))
for content in (b"x" * (6 << 20), iter([b"x" * (3 << 20), b"y" * (3 << 20)])):
    try:
        store.put(content)
    except DiskFullError as error:
        print(error.code)
try:
    store.put_many([bytes([n]) * 900_000 for n in range(6)])
except DiskFullError as error:
    print(error.code)
print(store.get(small) == b"before", store.exists(small))
"""


def test_a_full_disk_is_named_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    # a limit on the size of files stands for the full disk: the write fails half way with an error of the
    # system
    run = subprocess.run(
        [sys.executable, "-c", FILL, str(tmp_path)], capture_output=True, text=True, check=True
    )

    assert run.stdout.split() == ["objects.disk-full"] * 3 + ["True", "True"]
    assert len(files_of(tmp_path / "store")) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_no_space_left_is_the_same_error(store: ObjectStore, folder: Path) -> None:
    (folder / "staging").rmdir()
    (folder / "staging").symlink_to("/proc/self/fd")
    handle = os.open("/dev/full", os.O_WRONLY)
    try:
        with pytest.raises(DiskFullError, match="is full; nothing was kept"):
            store._spool([b"x" * (2 << 20)], folder / "staging" / str(handle))
    finally:
        os.close(handle)


def test_two_stores_on_one_folder_and_catalog_see_each_other(store: ObjectStore, tmp_path: Path) -> None:
    other = ObjectStore(store.catalog, str(tmp_path / "store"), cache=tmp_path / "other")
    digest = store.put(b"shared")

    assert other.put(b"shared") == digest
    other.delete(digest)
    assert not store.exists(digest)


def test_keeping_an_unknown_object_is_refused(store: ObjectStore) -> None:
    with pytest.raises(ObjectNotFoundError), store.catalog.transaction() as connection:
        store.keep(connection, [digest_bytes(b"unknown")])
