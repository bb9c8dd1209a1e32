"""Append checksummed frames to segment files, and read them back to the last whole one.

A frame is its length, the CRC-32 of its content, and the content. It is handed to the operating system before the answer
leaves, so a killed process loses nothing; a thread syncs each second, so a power cut loses at most that. The writer holds
a lock on its file; who gets the lock knows that the writer is gone. Tests: tests/unit/serving/test_frames.py, tests/chaos.
"""

from __future__ import annotations

import fcntl
import os
import struct
import threading
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

from everloop.core.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUFFIX = ".frames"
_HEAD = struct.Struct("<II")
_ROLL_BYTES = 64 << 20
_SYNC_EVERY_S = 1.0


class Frame(NamedTuple):
    """A frame's content, and the offset just behind it."""

    content: bytes
    end: int


class SegmentWriter:
    """Appends frames to a segment of its own. Threads may share it. Close it to sync the last second.

    Args:
        folder: where segments lie.
        kind: first part of the file's name.
        roll_bytes: a segment that has grown past this is closed and the next one begun.
    """

    def __init__(self, folder: Path, kind: str, *, roll_bytes: int = _ROLL_BYTES) -> None:
        self._folder = folder
        self._kind = kind
        self._roll_bytes = roll_bytes
        self._lock = threading.Lock()
        self._file = -1
        self._size = 0
        self._is_dirty = False
        self._full: list[int] = []
        self._stop = threading.Event()
        self._syncer = threading.Thread(target=self._sync_often, name="segment-sync", daemon=True)
        self._syncer.start()

    def append(self, content: bytes) -> None:
        """Hand one frame to the operating system."""
        frame = b"".join((_HEAD.pack(len(content), crc32(content)), content))
        with self._lock:
            if self._file < 0 or self._size > self._roll_bytes:
                self._roll()
            _write_all(self._file, frame)
            self._size += len(frame)
            self._is_dirty = True

    def sync(self) -> None:
        """Wait until everything appended is on the disk."""
        with self._lock:
            if self._is_dirty:
                os.fdatasync(self._file)
                self._is_dirty = False

    def close(self) -> None:
        """Sync, and let the segment go."""
        self._stop.set()
        self._syncer.join()
        self._sync_full()
        self.sync()
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1

    def _roll(self) -> None:
        if self._file >= 0:
            self._full.append(self._file)
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{self._kind}-{new_id()}{SUFFIX}"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self._size = 0

    def _sync_often(self) -> None:
        while not self._stop.wait(_SYNC_EVERY_S):
            self._sync_full()
            self._sync_unlocked()

    def _sync_full(self) -> None:
        """Sync and let go the segments that are full; never in the way of an append."""
        with self._lock:
            full, self._full = self._full, []
        for file in full:
            os.fdatasync(file)
            os.close(file)

    def _sync_unlocked(self) -> None:
        """Sync a copy of the descriptor, so that appends do not wait for the disk."""
        with self._lock:
            if not self._is_dirty:
                return
            copy = os.dup(self._file)
            self._is_dirty = False
        try:
            os.fdatasync(copy)
        finally:
            os.close(copy)


def read_frames(path: Path, start: int = 0) -> Iterator[Frame]:
    """Yield whole frames from an offset; stop at the first that is torn or does not match its checksum."""
    with path.open("rb") as file:
        file.seek(start)
        end = start
        while len(head := file.read(_HEAD.size)) == _HEAD.size:
            length, check = _HEAD.unpack(head)
            content = file.read(length)
            if len(content) < length or crc32(content) != check:
                return
            end += _HEAD.size + length
            yield Frame(content, end)


def is_abandoned(path: Path) -> bool:
    """Return whether no writer holds the segment any more."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _write_all(file: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(file, view) :]
