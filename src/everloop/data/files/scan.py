"""The files of a folder as the file system tells, without opening any. Tests: tests/unit/data/files/test_folders.py."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from everloop.core.errors import InvalidInputError, NotFoundError
from everloop.data.files.paths import is_reserved

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class FolderNotFoundError(NotFoundError):
    """There is no folder of this name."""

    code = "files.folder-not-found"


class UnsupportedFileError(InvalidInputError):
    """A folder holds something that cannot be part of a tree: a link that leads out or round, a socket, a nameless name."""

    code = "files.unsupported-file"


class Found(NamedTuple):
    """A file of a folder: its path there, with `/`, and its status."""

    path: str
    status: os.stat_result

    @property
    def mark(self) -> tuple[int, int, int, int]:
        """Return what changes whenever the content may have: size, times of change, inode."""
        return self.status.st_size, self.status.st_mtime_ns, self.status.st_ctime_ns, self.status.st_ino

    @property
    def is_executable(self) -> bool:
        """Return whether its owner may run it."""
        return bool(self.status.st_mode & stat.S_IXUSR)


def scan(folder: Path) -> list[Found]:
    """Return the files below a folder in the order of their paths, without those of `.git`, `.everloop` and `.dvc`.

    A link to a file inside the folder counts as that file.

    Raises:
        FolderNotFoundError: there is no such folder.
        UnsupportedFileError: with the path, and nothing was stored.
    """
    if not folder.is_dir():
        raise FolderNotFoundError(f"there is no folder {folder}. Check the path.", subject=str(folder))
    root = os.path.realpath(folder)
    found = list(_walk(root, "", root))
    found.sort(key=lambda file: file.path)
    return found


def _walk(folder: str, prefix: str, root: str) -> Iterator[Found]:
    with os.scandir(folder) as entries:
        for entry in entries:
            path = prefix + entry.name
            _refuse_bad_name(path)
            if is_reserved(entry.name):
                continue
            if entry.is_symlink():
                yield _linked(entry, path, root)
            elif entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path, path + "/", root)
            elif entry.is_file(follow_symlinks=False):
                yield Found(path, entry.stat(follow_symlinks=False))
            else:
                raise _unsupported(path, "is no file and no folder (a socket, a pipe, a device)", "Remove it")


def _linked(entry: os.DirEntry[str], path: str, root: str) -> Found:
    target = os.path.realpath(entry.path)
    if not target.startswith(root + os.sep):
        raise _unsupported(path, "is a link that leads out of the folder", "Copy its target into the folder")
    try:
        status = entry.stat()
    except OSError as error:
        raise _unsupported(path, f"is a link that leads nowhere ({error.strerror})", "Remove it") from error
    if not stat.S_ISREG(status.st_mode):
        raise _unsupported(path, "is a link to a folder, which could lead round for ever", "Copy the folder")
    return Found(path, status)


def _refuse_bad_name(path: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError as error:
        shown = path.encode("utf-8", "backslashreplace").decode()
        raise _unsupported(shown, "has a name that is not UTF-8", "Rename it") from error


def _unsupported(path: str, why: str, way_out: str) -> UnsupportedFileError:
    return UnsupportedFileError(
        f"{path} {why}. Nothing was stored. {way_out}, then add the folder again.", subject=path
    )
