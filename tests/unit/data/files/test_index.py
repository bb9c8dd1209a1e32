"""Notes hold for files that did not change, whatever happened to the notes; lost or damaged ones cost a reading."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from everloop.data.files.index import Noted, WorkspaceIndex
from everloop.data.files.rows import ChunkList
from everloop.data.files.scan import scan

if TYPE_CHECKING:
    from pathlib import Path

CHUNKS = ChunkList(b"c" * 64, b"\1\0\0\0\2\0\0\0")


@pytest.fixture
def index(tmp_path: Path) -> WorkspaceIndex:
    return WorkspaceIndex(tmp_path / "cache")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "files"
    for name in ("a", "b/c", "b.txt", "b0", "z"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    time.sleep(0.06)
    return root


def note(index: WorkspaceIndex, folder: Path, *paths: str, chunks: ChunkList | None = None) -> None:
    files = scan(folder)
    found = [files.file(files.paths.index(path)) for path in paths]
    read = [(file, Noted(file.path.encode().ljust(32), chunks)) for file in found]
    index.note(str(folder), read, read_at_ns=time.time_ns())


def known(index: WorkspaceIndex, folder: Path) -> dict[str, bytes]:
    notes = index.known(str(folder), scan(folder))
    rows = np.flatnonzero(notes.is_known).tolist()
    return {notes.paths[row]: notes.noted(row).digest.strip() for row in rows}


def test_files_come_in_the_order_of_their_whole_paths(folder: Path) -> None:
    files = scan(folder)

    assert files.paths == sorted(files.paths) == ["a", "b.txt", "b/c", "b0", "z"]
    for row, path in enumerate(files.paths):
        status = (folder / path).stat()
        assert files.marks[row].tolist() == [
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
            status.st_ino,
        ]


def test_notes_are_added_to_and_hold_only_for_unchanged_files(index: WorkspaceIndex, folder: Path) -> None:
    note(index, folder, "z", "a")
    note(index, folder, "b/c")
    assert known(index, folder) == {"a": b"a", "b/c": b"b/c", "z": b"z"}

    (folder / "a").write_text("A")
    (folder / "0").touch()
    (folder / "z").unlink()
    assert known(index, folder) == {"b/c": b"b/c"}
    assert known(index, folder.parent / "files" / "b") == {}


def test_chunks_stay_with_their_file_when_others_come_and_go(index: WorkspaceIndex, folder: Path) -> None:
    note(index, folder, "b.txt", chunks=CHUNKS)
    note(index, folder, "a", "z")
    (folder / "a").unlink()

    notes = index.known(str(folder), scan(folder))
    assert notes.chunks == {notes.paths.index("b.txt"): CHUNKS}
    index.keep(str(folder), notes)
    again = index.known(str(folder), scan(folder))
    assert again.noted(again.paths.index("b.txt")).chunks == CHUNKS

    note(index, folder, "b.txt")
    assert index.known(str(folder), scan(folder)).chunks == {}


def test_an_executable_bit_and_a_time_set_back_are_changes(index: WorkspaceIndex, folder: Path) -> None:
    note(index, folder, "a", "z")
    (folder / "a").chmod(0o755)
    status = (folder / "z").stat()
    (folder / "z").write_text("Z")
    os.utime(folder / "z", ns=(status.st_atime_ns, status.st_mtime_ns))

    assert known(index, folder) == {}


@pytest.mark.parametrize(
    "damage", [lambda raw: raw[:-3], lambda raw: raw[:40] + b"x" + raw[41:], lambda _: b""]
)
def test_damaged_notes_are_no_notes(index: WorkspaceIndex, folder: Path, damage: object) -> None:
    note(index, folder, "a")
    [file] = (folder.parent / "cache").iterdir()
    assert callable(damage)
    file.write_bytes(damage(file.read_bytes()))

    assert known(index, folder) == {}
    note(index, folder, "z")
    assert known(index, folder) == {"z": b"z"}


def test_an_empty_folder_has_no_notes(index: WorkspaceIndex, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    note(index, tmp_path / "empty")
    assert known(index, tmp_path / "empty") == {}
