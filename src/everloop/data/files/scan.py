"""The files of a folder as the file system tells, without opening any.

They are columns, because twenty thousand records of Python cost as much as asking the file system. Folders are opened, so that each
look-up is by name and not by path. Tests: tests/unit/data/files/test_folders.py.
"""

from __future__ import annotations

import os
import stat
from array import array
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from everloop.core.errors import InvalidInputError, NotFoundError
from everloop.data.files.paths import SUSPECT, is_reserved

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Mark = tuple[int, int, int, int]


class FolderNotFoundError(NotFoundError):
    """There is no folder of this name."""

    code = "files.folder-not-found"


class UnsupportedFileError(InvalidInputError):
    """A folder holds something that cannot be part of a tree: a link that leads out or round, a socket, a nameless name."""

    code = "files.unsupported-file"


class Found(NamedTuple):
    """A file of a folder.

    Attributes:
        path: in the folder, with `/`.
        mark: what changes whenever the content may have: size, times of change of content and status, inode.
        is_executable: whether its owner may run it.
    """

    path: str
    mark: Mark
    is_executable: bool

    @property
    def size_bytes(self) -> int:
        """Return the size."""
        return self.mark[0]


def found(path: str, status: os.stat_result) -> Found:
    """Return a file with this status."""
    mark = status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
    return Found(path, mark, bool(status.st_mode & stat.S_IXUSR))


class Files(NamedTuple):
    """The files of a folder in the order of their paths.

    Attributes:
        paths: n paths, ascending.
        marks: (n, 4) numbers: size in bytes, both times of change in nanoseconds, inode.
        modes: n numbers, 1 for an executable file, 0 for others.
    """

    paths: list[str]
    marks: NDArray[np.int64]
    modes: NDArray[np.uint8]

    def file(self, row: int) -> Found:
        """Return one file as a record."""
        size, mtime_ns, ctime_ns, inode = self.marks[row].tolist()
        return Found(self.paths[row], (size, mtime_ns, ctime_ns, inode), bool(self.modes[row]))


def scan(folder: Path) -> Files:
    """Return the files below a folder in the order of their paths, without those of `.git`, `.everloop` and `.dvc`.

    A link to a file inside the folder counts as that file.

    Raises:
        FolderNotFoundError: there is no such folder.
        UnsupportedFileError: with the path, and nothing was stored.
    """
    if not folder.is_dir():
        raise FolderNotFoundError(f"there is no folder {folder}. Check the path.", subject=str(folder))
    root = os.path.realpath(folder)
    paths: list[str] = []
    facts = array("q")
    waiting = [""]
    while waiting:
        _look(root, waiting.pop(), paths, facts, waiting)
    _refuse_bad_names(paths)
    order = sorted(range(len(paths)), key=paths.__getitem__)
    columns = np.frombuffer(facts, np.int64).reshape(-1, 5)[order]
    modes = ((columns[:, 4] & stat.S_IXUSR) != 0).astype(np.uint8)
    return Files([paths[row] for row in order], np.ascontiguousarray(columns[:, :4]), modes)


def _look(root: str, prefix: str, paths: list[str], facts: array[int], waiting: list[str]) -> None:
    """Take the files of one folder, and note its folders; a hot path."""
    handle = os.open(f"{root}/{prefix}", os.O_RDONLY | os.O_DIRECTORY)
    try:
        with os.scandir(handle) as entries:
            for entry in entries:
                name = entry.name
                # The first half is `is_reserved` for most names, without the call.
                if (name[0] in SUSPECT or not name.isascii()) and is_reserved(name):
                    continue
                if entry.is_file(follow_symlinks=False):
                    status = entry.stat(follow_symlinks=False)
                elif entry.is_dir(follow_symlinks=False):
                    waiting.append(f"{prefix}{name}/")
                    continue
                elif entry.is_symlink():
                    status = _linked(f"{root}/{prefix}{name}", prefix + name, root)
                else:
                    raise _unsupported(
                        prefix + name, "is no file and no folder (a socket, a pipe, a device)", "Remove it"
                    )
                paths.append(prefix + name)
                facts.extend(
                    (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_mode)
                )
    finally:
        os.close(handle)


def _linked(place: str, path: str, root: str) -> os.stat_result:
    target = os.path.realpath(place)
    if not target.startswith(root + os.sep):
        raise _unsupported(path, "is a link that leads out of the folder", "Copy its target into the folder")
    try:
        status = os.stat(place)  # noqa: PTH116 - as in the loop above
    except OSError as error:
        raise _unsupported(path, f"is a link that leads nowhere ({error.strerror})", "Remove it") from error
    if not stat.S_ISREG(status.st_mode):
        raise _unsupported(path, "is a link to a folder, which could lead round for ever", "Copy the folder")
    return status


def _refuse_bad_names(paths: list[str]) -> None:
    try:
        "\0".join(paths).encode()
    except UnicodeEncodeError:
        for path in paths:
            _refuse_bad_name(path)


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
