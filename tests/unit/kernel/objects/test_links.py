"""Linked objects: read from where they lie, refused when the original changed, never deleted by us."""

from __future__ import annotations

import errno
import os
import stat
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from everloop.core.digests import Digest, digest_bytes
from everloop.kernel.objects import ObjectStore
from everloop.kernel.objects.collection import collect
from everloop.kernel.objects.fsck import check_store, reindex
from everloop.kernel.objects.links import CannotLinkError, ChangedOriginalError, Seen

if TYPE_CHECKING:
    from pathlib import Path

    from everloop.kernel.operations import Kernel

CONTENT = b"the bytes of their owner"
# The clock of the file system and that of the catalog are not cut alike.
AT_ONCE = timedelta(seconds=-1)


@pytest.fixture
def original(tmp_path: Path) -> Path:
    path = tmp_path / "original"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def no_hard_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, "another file system")

    monkeypatch.setattr(os, "link", refuse)


def seen(path: Path) -> Seen:
    return Seen(path, digest_bytes(path.read_bytes()), path.stat())


def linked(store: ObjectStore, path: Path) -> Digest:
    store.link([seen(path)])
    return seen(path).digest


def edit(path: Path) -> None:
    before = path.stat()
    path.write_bytes(b"THE BYTES OF THEIR OWNER")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))


def own_bytes(folder: Path) -> int:
    names = [path for path in folder.rglob("*") if path.is_file() and path.stat().st_nlink == 1]
    return sum(path.stat().st_size for path in names)


def test_a_linked_object_reads_like_any_other_and_takes_no_room(
    store: ObjectStore, folder: Path, original: Path
) -> None:
    original.write_bytes(CONTENT * 10_000)
    digest = linked(store, original)

    assert store.get(digest) == original.read_bytes()
    assert store.get_range(digest, 4, 5) == b"bytes"
    assert store.path(digest).read_bytes() == original.read_bytes()
    assert (store.size(digest), store.exists(digest)) == (len(CONTENT) * 10_000, True)
    assert dict(store.get_many([digest])) == {digest: original.read_bytes()}
    assert own_bytes(folder) < 1_000


def test_a_hard_link_outlives_its_original(store: ObjectStore, original: Path) -> None:
    digest = linked(store, original)
    original.unlink()

    assert store.get(digest) == CONTENT
    assert store.changed_originals() == []


@pytest.mark.usefixtures("no_hard_links")
def test_a_reference_to_a_file_that_is_gone_is_refused_and_named(store: ObjectStore, original: Path) -> None:
    digest = linked(store, original)
    assert store.get(digest) == CONTENT
    original.unlink()

    assert not store.exists(digest)
    assert store.missing([digest]) == {digest}
    with pytest.raises(ChangedOriginalError, match=r"original is gone since object b3:.*add it again"):
        ObjectStore(store.catalog, store.files.place, cache=original.parent / "c").get(digest)


@pytest.mark.parametrize("way", ["hard", "reference"])
def test_an_original_edited_in_place_is_refused_by_every_reader(
    store: ObjectStore, original: Path, request: pytest.FixtureRequest, way: str
) -> None:
    if way == "reference":
        request.getfixturevalue("no_hard_links")
    digest = linked(store, original)
    edit(original)

    for read in (store.get, store.path, lambda which: store.get_range(which, 0, 3)):
        with pytest.raises(ChangedOriginalError, match="was changed"):
            read(digest)
    [changed] = store.changed_originals()
    assert (changed.digest, changed.path, changed.reason) == (digest, str(original), "changed")


@pytest.mark.usefixtures("no_hard_links")
def test_a_reference_notices_another_file_in_its_place(store: ObjectStore, original: Path) -> None:
    digest = linked(store, original)
    before = original.stat()
    other = original.with_name("other")
    other.write_bytes(CONTENT.upper())
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(original)

    with pytest.raises(ChangedOriginalError):
        store.get(digest)


def test_a_put_of_linked_bytes_keeps_a_copy(store: ObjectStore, original: Path) -> None:
    digest = linked(store, original)

    store.put(CONTENT)
    edit(original)

    assert store.get(digest) == CONTENT
    assert store.changed_originals() == []


def test_putting_many_linked_bytes_keeps_copies(store: ObjectStore, original: Path) -> None:
    digest = linked(store, original)

    store.put_many([CONTENT, b"neighbour"])
    edit(original)

    assert store.get(digest) == CONTENT


def test_what_the_store_has_is_not_linked(store: ObjectStore, original: Path) -> None:
    digest = store.put(CONTENT)
    linked(store, original)
    edit(original)

    assert store.get(digest) == CONTENT


def test_a_link_again_heals_a_changed_one(store: ObjectStore, original: Path, tmp_path: Path) -> None:
    digest = linked(store, original)
    edit(original)
    again = tmp_path / "again"
    again.write_bytes(CONTENT)

    linked(store, again)

    assert store.get(digest) == CONTENT


def test_a_file_that_changed_since_its_digest_is_not_linked(
    store: ObjectStore, original: Path, folder: Path
) -> None:
    before = seen(original)
    edit(original)

    with pytest.raises(ChangedOriginalError):
        store.link([before])
    assert not store.exists(before.digest)
    assert [path for path in folder.rglob("*") if path.is_file()] == []


def test_a_collection_drops_the_link_and_leaves_the_original(
    store: ObjectStore, folder: Path, original: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"other")
    store.link([seen(original), seen(other)])

    collect(store, [(digest_bytes(b"other"), "in use")], grace=timedelta(0))
    assert original.stat().st_nlink == 1
    assert store.get(digest_bytes(b"other")) == b"other"

    collect(store, [], grace=AT_ONCE, stray_files=True)
    assert (original.read_bytes(), other.read_bytes()) == (CONTENT, b"other")
    assert [path for path in folder.rglob("*") if path.is_file()] == []


def test_links_of_killed_writers_are_strays_and_those_in_use_are_not(
    store: ObjectStore, original: Path, tmp_path: Path
) -> None:
    digest = linked(store, original)
    lost = tmp_path / "lost"
    lost.write_bytes(b"lost")
    store.links.make([seen(lost)])

    report = collect(store, [(digest, "in use")], grace=AT_ONCE, stray_files=True)

    assert len(report.files_removed) == 2
    assert store.get(digest) == CONTENT
    assert check_store(store).unreferenced == []


def test_a_check_tells_changed_from_missing_and_reads_the_bytes(
    store: ObjectStore, original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    linked(store, original)
    assert check_store(store).is_clean

    sneaky = original.stat()
    original.write_bytes(CONTENT.upper())
    os.utime(original, ns=(sneaky.st_atime_ns, sneaky.st_mtime_ns))
    assert check_store(store, quick=True).is_clean
    assert check_store(store).corrupt == [digest_bytes(CONTENT)]

    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(errno.EPERM, "not yours")))
    other = tmp_path / "other"
    other.write_bytes(b"other")
    digest = linked(store, other)
    other.unlink()
    assert check_store(store).missing == [digest]


def test_rows_of_links_are_rebuilt_from_the_files(
    store: ObjectStore, original: Path, make_other: ObjectStore
) -> None:
    digest = linked(store, original)

    assert reindex(make_other).added == 1
    assert make_other.get(digest) == CONTENT


@pytest.fixture
def make_other(store: ObjectStore, tmp_path: Path, kernel: Kernel) -> ObjectStore:
    from everloop.kernel.catalog import Catalog

    del kernel
    catalog = Catalog(f"sqlite:///{tmp_path / 'fresh' / 'catalog.db'}")
    return ObjectStore(catalog, store.files.place, cache=tmp_path / "fresh-cache")


def test_a_store_elsewhere_cannot_link(kernel: Kernel, original: Path, tmp_path: Path) -> None:
    remote = ObjectStore(kernel.catalog, "memory:///", cache=tmp_path / "cache")

    with pytest.raises(CannotLinkError, match="Add them without the link"):
        remote.link([seen(original)])


def test_an_original_keeps_its_permissions(store: ObjectStore, original: Path) -> None:
    original.chmod(0o640)
    linked(store, original)

    assert stat.S_IMODE(original.stat().st_mode) == 0o640
