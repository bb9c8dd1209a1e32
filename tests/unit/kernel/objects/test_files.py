"""Files of a store appear whole or not at all. The same behind S3: tests/integration/test_objects_s3.py."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from everloop.kernel.objects.files import DiskFullError, open_files
from everloop.kernel.objects.files.local import LocalFiles
from everloop.kernel.objects.files.remote import RemoteFiles

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def files(tmp_path: Path) -> LocalFiles:
    return LocalFiles(tmp_path / "store")


def left_in(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_of_pieces_reads_back_whole_and_in_ranges(files: LocalFiles, durable: bool) -> None:  # noqa: FBT001 - the case's own value
    files.write("a/b", [b"012", b"", b"3456789"], durable=durable)

    assert (files.read("a/b"), files.read("a/b", 3), files.read("a/b", 3, 2)) == (
        b"0123456789",
        b"3456789",
        b"34",
    )
    assert (files.read("a/b", 8, 100), files.read("a/b", 50, 5), files.size("a/b")) == (b"89", b"", 10)


def test_a_staged_file_moves_in_and_is_read_only(files: LocalFiles) -> None:
    staged = files.staging / "x"
    staged.write_bytes(b"content")

    files.adopt("objects/x", staged, durable=True)

    path = files.path("objects/x")
    assert path is not None
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"content", 0o444)
    assert not staged.exists()


def test_files_are_listed_by_folder_without_what_is_staged(files: LocalFiles) -> None:
    for name in ("objects/aa/1", "objects/bb/2", "packs/3"):
        files.write(name, [b"x"], durable=False)
    (files.staging / "half").write_bytes(b"x")

    assert sorted(file.name for file in files.list("objects")) == ["objects/aa/1", "objects/bb/2"]
    assert [(file.size, file.modified_at.tzinfo is not None) for file in files.list("packs")] == [(1, True)]
    assert list(files.list("nothing")) == []


def test_deleting_passes_over_what_is_gone(files: LocalFiles) -> None:
    files.write("a", [b"x"], durable=False)

    files.delete(["a", "never"])

    assert files.size("a") is None
    with pytest.raises(FileNotFoundError):
        files.read("a")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_an_error_of_ours_and_leaves_no_file(
    files: LocalFiles, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(_handle: int, _content: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "writev", fail)

    with pytest.raises(DiskFullError, match="everloop gc --dry-run"):
        files.write("a", [b"x"], durable=True)
    assert left_in(files.staging.parent) == []


def test_another_error_of_the_system_stays_what_it_is(
    files: LocalFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_handle: int, _content: object) -> int:
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(os, "writev", fail)

    with pytest.raises(OSError, match="input/output"):
        files.write("a", [b"x"], durable=True)
    assert left_in(files.staging.parent) == []


def test_a_short_write_of_the_system_is_gone_on_with(
    files: LocalFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, content: real(handle, bytes(content)[:3]))
    monkeypatch.setattr(os, "writev", lambda handle, pieces: real(handle, b"".join(pieces)[:4]))

    files.write("a", [b"01", b"2345", b"6789"], durable=False)

    assert files.read("a") == b"0123456789"


def test_an_address_says_where_files_are(tmp_path: Path) -> None:
    folder = tmp_path / "with space"

    assert open_files(str(folder), staging=tmp_path).place == str(folder)
    assert open_files(f"file://{tmp_path}/with%20space", staging=tmp_path).place == str(folder)
    assert isinstance(open_files("memory:///", staging=tmp_path), RemoteFiles)


def test_files_in_memory_keep_the_same_promises(tmp_path: Path) -> None:
    files = open_files("memory:///", staging=tmp_path / "staging")
    files.write("a/b", [b"012", b"345"], durable=True)

    assert (files.read("a/b", 2, 2), files.read("a/b", 4), files.size("a/b"), files.size("x")) == (
        b"23",
        b"45",
        6,
        None,
    )
    assert [file.name for file in files.list("a")] == ["a/b"]
    with pytest.raises(FileNotFoundError):
        files.read("x")
