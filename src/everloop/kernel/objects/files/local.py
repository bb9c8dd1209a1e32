"""Files of a store in a local folder: write to a temporary name, sync, rename, sync the folder.

obstore's own local store does not sync, so this is written by hand. Tests:
tests/unit/kernel/objects/test_files.py.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from everloop.core.ids import new_id
from everloop.kernel.objects.files.protocol import DiskFullError, StoredFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from typing_extensions import Buffer

# EFBIG: a quota or a limit on the size of files; to the user it is a disk that takes no more.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_READ_ONLY = 0o444
# POSIX lets one call take 1,024 pieces (IOV_MAX) on every system we know.
_PIECES_AT_ONCE = 1_000


class LocalFiles:
    """Files below one folder; see `Files`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self.place = str(self._folder)
        self.staging = self._folder / "staging"
        self.staging.mkdir(parents=True, exist_ok=True)

    def write(self, name: str, pieces: Sequence[Buffer], *, durable: bool) -> None:
        """Write a new file from pieces."""
        staged = self.staging / new_id()
        try:
            with refuse_full_disk(self.place), staged.open("wb", buffering=0) as file:
                for start in range(0, len(pieces), _PIECES_AT_ONCE):
                    _write_all(file.fileno(), pieces[start : start + _PIECES_AT_ONCE])
            self.adopt(name, staged, durable=durable)
        finally:
            staged.unlink(missing_ok=True)

    def adopt(self, name: str, staged: Path, *, durable: bool) -> None:
        """Sync a staged file and rename it into its place."""
        target = self._folder / name
        with refuse_full_disk(self.place):
            is_new = _make_folder(target.parent)
            staged.chmod(_READ_ONLY)
            if durable:
                sync(staged)
            staged.replace(target)
            if durable:
                sync(target.parent)
                if is_new:
                    sync(target.parent.parent)

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        """Return bytes of a file."""
        with (self._folder / name).open("rb", buffering=0) as file:
            if start:
                file.seek(start)
            return file.readall() if length is None else _read(file.fileno(), length)

    def size(self, name: str) -> int | None:
        """Return the size, or None when there is no such file."""
        try:
            return (self._folder / name).stat().st_size
        except FileNotFoundError:
            return None

    def list(self, prefix: str) -> Iterator[StoredFile]:
        """Yield the files of a folder and its sub-folders."""
        for folder, _, names in os.walk(self._folder / prefix):
            for name in names:
                path = Path(folder, name)
                with suppress(FileNotFoundError):
                    status = path.stat()
                    modified = datetime.fromtimestamp(status.st_mtime, UTC)
                    yield StoredFile(path.relative_to(self._folder).as_posix(), status.st_size, modified)

    def delete(self, names: Iterable[str]) -> None:
        """Delete files."""
        for name in names:
            (self._folder / name).unlink(missing_ok=True)

    def swap(self, name: str, content: bytes, *, expected: bytes | None) -> bool:
        """Write a small file if it holds what is expected, under a lock of the folder."""
        import fcntl

        lock = os.open(self.staging / "swap.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                found: bytes | None = self.read(name)
            except FileNotFoundError:
                found = None
            if found != expected:
                return False
            self.write(name, [content], durable=True)
            return True
        finally:
            os.close(lock)

    def path(self, name: str) -> Path | None:
        """Return the file."""
        return self._folder / name


@contextmanager
def refuse_full_disk(place: str) -> Iterator[None]:
    """Turn the system's error of a full disk into ours."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise DiskFullError(
            f"the disk of the object store {place} is full; nothing was kept of the write. "
            "Free space (`everloop gc --dry-run` shows what could go), then repeat the command.",
            subject=place,
        ) from error


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _make_folder(folder: Path) -> bool:
    if folder.is_dir():
        return False
    folder.mkdir(parents=True, exist_ok=True)
    return True


def _write_all(handle: int, pieces: Sequence[Buffer]) -> None:
    """Write pieces with few system calls and, where the system can, without joining them first."""
    if not hasattr(os, "writev"):
        _write_rest(handle, b"".join(pieces))
        return
    written = os.writev(handle, pieces)
    if written < sum(memoryview(piece).nbytes for piece in pieces):
        _write_rest(handle, b"".join(pieces)[written:])


def _write_rest(handle: int, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[os.write(handle, view) :]


def _read(handle: int, length: int) -> bytes:
    pieces: list[bytes] = []
    while length > 0:
        piece = os.read(handle, length)
        if not piece:
            break
        pieces.append(piece)
        length -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
