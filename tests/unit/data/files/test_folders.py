"""A folder is stored, compared and written back; what cannot be is refused and nothing is half done."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from everloop.data.files import storing
from everloop.data.files.checkout import LocalChangesError, checkout
from everloop.data.files.diff import edit_tree
from everloop.data.files.index import WorkspaceIndex
from everloop.data.files.paths import UnsafePathError
from everloop.data.files.records import FileEntry, TreeReference
from everloop.data.files.scan import FolderNotFoundError, UnsupportedFileError
from everloop.data.files.status import folder_status
from everloop.data.files.storing import ChangingFileError, store_folder
from everloop.data.files.tree import Tree, list_paths, tree_objects

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from everloop.data.files.scan import Found
    from everloop.kernel.operations import Kernel


@pytest.fixture
def index(tmp_path: Path) -> WorkspaceIndex:
    return WorkspaceIndex(tmp_path / "cache" / "workspace")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "images"
    (root / "deep" / "er").mkdir(parents=True)
    (root / "a.txt").write_text("a")
    (root / "deep" / "b.bin").write_bytes(os.urandom(100_000))
    (root / "deep" / "er" / "empty").touch()
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    (root / ".git").mkdir()
    (root / ".git" / "config").write_text("no")
    age(root)
    return root


def age(root: Path) -> None:
    """Let some time pass, so that notes are older than files."""
    del root
    time.sleep(0.06)


def test_a_folder_goes_in_and_comes_out_the_same(
    kernel: Kernel, index: WorkspaceIndex, folder: Path, tmp_path: Path
) -> None:
    stored = store_folder(folder, kernel.objects, index).reference

    done = checkout(stored, tmp_path / "copy", kernel.objects, index)

    assert list(list_paths(stored, kernel.objects)) == ["a.txt", "deep/b.bin", "deep/er/empty", "run.sh"]
    assert (done.written, done.unchanged, stored.files) == (4, 0, 4)
    assert (tmp_path / "copy/deep/b.bin").read_bytes() == (folder / "deep/b.bin").read_bytes()
    assert os.access(tmp_path / "copy/run.sh", os.X_OK)
    assert store_folder(tmp_path / "copy", kernel.objects, index).reference.digest == stored.digest
    assert checkout(stored, tmp_path / "copy", kernel.objects, index).written == 0
    assert kernel.objects.missing(tree_objects([stored], kernel.objects)) == set()


def test_unchanged_files_are_not_read_again(
    kernel: Kernel, index: WorkspaceIndex, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = store_folder(folder, kernel.objects, index).reference
    (folder / "a.txt").write_text("changed")
    read: list[str] = []
    usual = storing._read_small

    def noting(root: str, file: Found) -> tuple[Found, bytes, bytes]:
        read.append(file.path)
        return usual(root, file)

    monkeypatch.setattr(storing, "_read_small", noting)

    second = store_folder(folder, kernel.objects, index, parent=first).reference

    assert read == ["a.txt"]
    assert second.digest != first.digest
    assert second.stored_bytes < 1_000


def test_a_file_that_changed_in_the_moment_of_the_note_is_read_again(
    kernel: Kernel, index: WorkspaceIndex, folder: Path
) -> None:
    (folder / "a.txt").write_text("1")
    first = store_folder(folder, kernel.objects, index).reference
    status = (folder / "a.txt").stat()
    (folder / "a.txt").write_text("2")
    os.utime(folder / "a.txt", ns=(status.st_atime_ns, status.st_mtime_ns))

    assert store_folder(folder, kernel.objects, index).reference.digest != first.digest


def test_an_edit_in_a_large_file_stores_the_chunks_around_it(
    kernel: Kernel, index: WorkspaceIndex, tmp_path: Path
) -> None:
    folder = tmp_path / "large"
    folder.mkdir()
    content = os.urandom(30 << 20)
    (folder / "big").write_bytes(content)
    first = store_folder(folder, kernel.objects, index).reference
    edited = content[: 15 << 20] + b"inserted" + content[15 << 20 :]
    (folder / "big").write_bytes(edited)

    second = store_folder(folder, kernel.objects, index, parent=first).reference

    assert second.stored_bytes < 10 << 20 < first.stored_bytes
    with Tree(second, kernel.objects).open("big") as stored:
        assert stored.read() == edited
    checkout(first, tmp_path / "before", kernel.objects, index)
    assert (tmp_path / "before/big").read_bytes() == content


def test_the_status_names_what_was_added_modified_and_deleted(
    kernel: Kernel, index: WorkspaceIndex, folder: Path
) -> None:
    stored = store_folder(folder, kernel.objects, index).reference
    assert folder_status(stored, folder, kernel.objects, index).is_clean

    (folder / "new").touch()
    (folder / "a.txt").write_text("b")
    (folder / "run.sh").chmod(0o644)
    (folder / "deep/er/empty").unlink()
    found = folder_status(stored, folder, kernel.objects, index)

    assert (found.added, found.modified, found.deleted) == (["new"], ["a.txt", "run.sh"], ["deep/er/empty"])
    assert found.unchanged == 1


def test_only_the_paths_asked_for_are_written(
    kernel: Kernel, index: WorkspaceIndex, folder: Path, tmp_path: Path
) -> None:
    stored = store_folder(folder, kernel.objects, index).reference

    assert checkout(stored, tmp_path / "part", kernel.objects, index, paths=["deep", "*.sh"]).written == 3
    assert not (tmp_path / "part/a.txt").exists()


def test_bytes_of_no_version_are_not_overwritten(
    kernel: Kernel, index: WorkspaceIndex, folder: Path, tmp_path: Path
) -> None:
    stored = store_folder(folder, kernel.objects, index).reference
    copy = tmp_path / "copy"
    checkout(stored, copy, kernel.objects, index)
    (copy / "a.txt").write_text("my own work")

    with pytest.raises(LocalChangesError, match=r"a\.txt would be overwritten"):
        checkout(stored, copy, kernel.objects, index)
    assert (copy / "a.txt").read_text() == "my own work"

    store_folder(copy, kernel.objects, index)
    assert checkout(stored, copy, kernel.objects, index).written == 1
    assert (copy / "a.txt").read_text() == "a"


def test_links_that_lead_out_or_nowhere_and_pipes_are_refused(
    kernel: Kernel, index: WorkspaceIndex, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("x")
    cases: dict[str, Callable[[Path], None]] = {
        "out": lambda path: path.symlink_to(tmp_path / "secret"),
        "nowhere": lambda path: path.symlink_to(folder / "gone"),
        "round": lambda path: path.symlink_to(folder / "deep", target_is_directory=True),
        "pipe": os.mkfifo,
    }
    for name, make in cases.items():
        make(folder / name)
        with pytest.raises(UnsupportedFileError, match=f"{name} is .*Nothing was stored"):
            store_folder(folder, kernel.objects, index)
        (folder / name).unlink()
    with pytest.raises(FolderNotFoundError):
        store_folder(folder / "none", kernel.objects, index)


def test_a_name_that_is_not_utf8_is_refused(kernel: Kernel, index: WorkspaceIndex, folder: Path) -> None:
    (folder / os.fsdecode(b"caf\xe9")).touch()

    with pytest.raises(UnsupportedFileError, match="not UTF-8"):
        store_folder(folder, kernel.objects, index)


def test_a_file_that_changes_each_time_it_is_read_is_refused(
    kernel: Kernel, index: WorkspaceIndex, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = os.fstat

    def restless(handle: int) -> os.stat_result:
        os.utime(handle, ns=(time.time_ns(), time.time_ns()))
        return usual(handle)

    monkeypatch.setattr(os, "fstat", restless)
    with pytest.raises(ChangingFileError, match="changed each of the 3 times"):
        store_folder(folder, kernel.objects, index)


def evil(stored: TreeReference, path: str, kernel: Kernel) -> TreeReference:
    entry = FileEntry(path=path, digest=kernel.objects.put(b"evil"), size_bytes=4)
    return edit_tree(stored, {path: entry}, kernel.objects)


@pytest.mark.parametrize("path", ["../outside", "/tmp/outside", ".git/hooks/post-checkout"])  # noqa: S108 - refused
def test_a_tree_made_to_write_elsewhere_writes_nothing(
    kernel: Kernel, index: WorkspaceIndex, folder: Path, tmp_path: Path, path: str
) -> None:
    stored = store_folder(folder, kernel.objects, index).reference

    with pytest.raises(UnsafePathError):
        checkout(evil(stored, path, kernel), tmp_path / "copy", kernel.objects, index)
    assert not (tmp_path / "copy").exists()


def test_a_link_in_the_folder_is_not_written_through(
    kernel: Kernel, index: WorkspaceIndex, folder: Path, tmp_path: Path
) -> None:
    stored = store_folder(folder, kernel.objects, index).reference
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "deep").symlink_to(tmp_path / "elsewhere", target_is_directory=True)

    with pytest.raises(UnsafePathError, match="goes through a link"):
        checkout(stored, tmp_path / "copy", kernel.objects, index)
    assert list((tmp_path / "elsewhere").iterdir()) == []
