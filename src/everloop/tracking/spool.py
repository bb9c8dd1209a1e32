"""The spool of a run: what it logged, on this machine's disk, until its home has it.

One file for each writer, only ever appended to by that writer: frames of length, checksum and content. A frame that is cut
or damaged ends the file for a reader: what stands before it counts. `everloop sync` sends what a process left behind.
Tests: tests/unit/tracking/test_spool.py, tests/chaos/test_kill_logging.py.
"""

from __future__ import annotations

import os
import struct
import zlib
from typing import TYPE_CHECKING

import msgspec

from everloop.tracking.records import Capture, DatasetInput, MediaPoint, Plain, PrintedLine, RunStatus
from everloop.tracking.series.columns import PointColumns

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUFFIX = ".spool"
_HEAD = struct.Struct("<II")
_LARGEST_FRAME = 1 << 30


class Start(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The run as it was started; first in each spool.

    Attributes:
        files: what `capture` names but the home does not have yet: bytes by field, `diff` and `environment`.
    """

    id: str
    experiment: str
    name: str
    started_at: int
    params: dict[str, Plain] = {}
    tags: dict[str, str] = {}
    inputs: list[DatasetInput] = []
    capture: Capture = Capture()
    parent: str = ""
    fork_of: str = ""
    fork_step: float | None = None
    files: dict[str, bytes] = {}


class Batch(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Values of a run; batches of a writer are numbered."""

    sequence: int
    series: list[PointColumns] = []
    params: dict[str, Plain] = {}
    tags: dict[str, str] = {}
    media: list[MediaPoint] = []
    lines: list[PrintedLine] = []
    inputs: list[DatasetInput] = []

    @property
    def points(self) -> int:
        """Return the number of points."""
        return sum(len(one) for one in self.series)


class Artifact(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A file or bytes that a run named; the content itself lies beside the spool."""

    name: str
    file: str
    size_bytes: int


class End(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """How and when the run ended."""

    status: RunStatus
    error: str
    ended_at: int


Entry = Start | Batch | Artifact | End
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Entry).decode


class Spool:
    """The file of one writer of a run. One thread at a time may write.

    Args:
        folder: of the run; made when it is missing.
        writer: its id, which names the file.
    """

    def __init__(self, folder: Path, writer: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{writer}{SUFFIX}"
        self.size_bytes = 0
        self._file = os.open(
            self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0), 0o600
        )
        self._is_dirty = False

    def append(self, entry: Entry) -> None:
        """Write an entry; it is on the disk after the next `sync`.

        Raises:
            OSError: the disk is full or gone; nothing of the entry stays.
        """
        content = _encode(entry)
        view = memoryview(_HEAD.pack(len(content), zlib.crc32(content)) + content)
        length = len(view)
        try:
            while view:
                view = view[os.write(self._file, view) :]
        except OSError:
            os.ftruncate(self._file, self.size_bytes)
            raise
        self.size_bytes += length
        self._is_dirty = True

    def sync(self) -> None:
        """Bring what was written onto the disk."""
        if self._is_dirty:
            self._is_dirty = False
            os.fdatasync(self._file)

    def restart(self, start: Start) -> None:
        """Begin again with an empty file; for when the home has everything."""
        os.ftruncate(self._file, 0)
        self.size_bytes = 0
        self.append(start)

    def close(self) -> None:
        """Close the file and leave it."""
        os.close(self._file)


def discard(path: Path) -> None:
    """Remove a spool and the contents beside it that belong to its writer; the folder goes when it is empty."""
    for file in path.parent.glob(f"{path.stem}.*"):
        file.unlink(missing_ok=True)
    try:
        path.parent.rmdir()
    except OSError:
        return


def read(path: Path) -> Iterator[Entry]:
    """Yield the entries of a spool up to the first that is cut or damaged."""
    return (entry for entry, _ in read_from(path, 0))


def read_from(path: Path, start: int) -> Iterator[tuple[Entry, int]]:
    """Yield the entries of a spool that begin at a byte, each with the byte behind it."""
    with path.open("rb") as file:
        file.seek(start)
        while len(head := file.read(_HEAD.size)) == _HEAD.size:
            length, checksum = _HEAD.unpack(head)
            if length > _LARGEST_FRAME:
                return
            content = file.read(length)
            if len(content) < length or zlib.crc32(content) != checksum:
                return
            start += _HEAD.size + length
            yield _decode(content), start


def spools(folder: Path) -> list[Path]:
    """Return the spools below a folder, those of older runs first."""
    return sorted(folder.glob(f"*/*{SUFFIX}"))
