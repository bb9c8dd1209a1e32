"""The workspace index: what the content of a file was when it was last read, so that an unchanged file is not read again.

A file counts as unchanged when size, both times of change and inode are as noted, and the times are older than the note: one that
changed in the very moment of the note is read again. The notes of a folder are columns in one file, which is read and compared
whole and replaced by renaming. Any number of processes may share it: of two that write at once one is forgotten, and losing
notes, or finding them damaged, costs a reading, nothing else. Tests: tests/unit/data/files/test_folders.py, tests/unit/data/files/test_index.py.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
from blake3 import blake3

from everloop.core.ids import new_id
from everloop.data.files.rows import RAW, ChunkList, as_digests, find_places

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from everloop.data.files.scan import Files, Found

# Times of files are this coarse at worst on the file systems in use.
_COARSE_NS = 50_000_000
_VERSION = 1


class Noted(NamedTuple):
    """The content of a file: the 32 bytes of its digest, and its chunks if it is stored in chunks."""

    digest: bytes
    chunks: ChunkList | None


class Notes(NamedTuple):
    """What is noted of the files of a folder, in the order of their paths.

    Attributes:
        paths: n paths, ascending.
        marks: (n, 4) numbers as they were before the file was read; see `scan`.
        noted_ns: n times when the file was looked at, 0 where nothing holds that is noted.
        digests: (n, 32) bytes.
        chunks: of those files that are stored in chunks, by row.
    """

    paths: list[str]
    marks: NDArray[np.int64]
    noted_ns: NDArray[np.int64]
    digests: NDArray[np.uint8]
    chunks: dict[int, ChunkList]

    @property
    def is_known(self) -> NDArray[np.bool_]:
        """Return for each file whether what is noted holds."""
        return self.noted_ns > 0

    def noted(self, row: int) -> Noted:
        """Return what is noted of one file."""
        return Noted(self.digests[row].tobytes(), self.chunks.get(row))

    def with_read(self, read: Sequence[tuple[int, Found, Noted]], *, read_at_ns: int) -> Notes:
        """Return the notes with files of these rows as they were read."""
        marks, noted_ns, digests = self.marks.copy(), self.noted_ns.copy(), self.digests.copy()
        rows = [row for row, _, _ in read]
        chunks = dict(self.chunks)
        for row in rows:
            chunks.pop(row, None)
        if rows:
            marks[rows] = [file.mark for _, file, _ in read]
            noted_ns[rows] = read_at_ns
            digests[rows] = as_digests(b"".join(noted.digest for _, _, noted in read))
        chunks.update((row, noted.chunks) for row, _, noted in read if noted.chunks is not None)
        return Notes(self.paths, marks, noted_ns, digests, chunks)


class _Stored(msgspec.Struct, array_like=True):
    """The columns in a file; `folder` is there for people."""

    version: int
    folder: str
    paths: str
    marks: bytes
    noted_ns: bytes
    digests: bytes
    chunks: dict[int, tuple[bytes, bytes]]


class WorkspaceIndex:
    """Notes of files, one file for each folder."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def known(self, folder: str, files: Files) -> Notes:
        """Return what is noted of files, in their order; it holds where they did not change since.

        Args:
            folder: the real path of the folder.
            files: those that are there now.
        """
        there = self._load(folder)
        places = find_places(files.paths, there.paths)
        if not len(there.paths):
            noted_ns = np.zeros(len(files.paths), np.int64)
            digests = np.zeros((len(files.paths), RAW), np.uint8)
            return Notes(files.paths, files.marks, noted_ns, digests, {})
        marks, noted_ns = there.marks[places], there.noted_ns[places]
        # The times are the columns 1 and 2.
        is_older = files.marks[:, 1:3].max(axis=1) + _COARSE_NS <= noted_ns
        holds = (places >= 0) & (marks == files.marks).all(axis=1) & is_older
        chunks = {}
        if there.chunks:
            rows: list[int] = np.flatnonzero(holds).tolist()
            chunks = {row: there.chunks[at] for row in rows if (at := int(places[row])) in there.chunks}
        return Notes(files.paths, files.marks, np.where(holds, noted_ns, 0), there.digests[places], chunks)

    def keep(self, folder: str, notes: Notes) -> None:
        """Replace what is noted of a folder; call it only when the contents are durable."""
        is_known = notes.is_known
        if not is_known.all():
            rows: list[int] = np.flatnonzero(is_known).tolist()
            chunks = {new: notes.chunks[old] for new, old in enumerate(rows) if old in notes.chunks}
            paths = [notes.paths[row] for row in rows]
            notes = Notes(paths, notes.marks[rows], notes.noted_ns[rows], notes.digests[rows], chunks)
        stored = _Stored(
            _VERSION,
            folder,
            "\0".join(notes.paths),
            notes.marks.tobytes(),
            notes.noted_ns.tobytes(),
            notes.digests.tobytes(),
            {row: (chunks.digests, chunks.sizes) for row, chunks in notes.chunks.items()},
        )
        content = msgspec.msgpack.encode(stored)
        target = self._file(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        staged = target.with_name(f"{new_id()}.tmp")
        staged.write_bytes(blake3(content).digest() + content)
        staged.replace(target)

    def note(self, folder: str, files: Sequence[tuple[Found, Noted]], *, read_at_ns: int) -> None:
        """Add what files hold to what is noted of a folder; call it only when their content is durable.

        Args:
            folder: the real path of the folder.
            files: each as it was before it was read.
            read_at_ns: when the first of them was looked at.
        """
        there = self._load(folder)
        paths = sorted({*there.paths, *(file.path for file, _ in files)})
        places = find_places(paths, there.paths)
        is_there = places >= 0
        marks, noted_ns = np.zeros((len(paths), 4), np.int64), np.zeros(len(paths), np.int64)
        digests = np.zeros((len(paths), RAW), np.uint8)
        marks[is_there] = there.marks[places[is_there]]
        noted_ns[is_there] = there.noted_ns[places[is_there]]
        digests[is_there] = there.digests[places[is_there]]
        row_of = {path: row for row, path in enumerate(paths)}
        chunks = {row_of[there.paths[row]]: value for row, value in there.chunks.items()}
        read = [(row_of[file.path], file, noted) for file, noted in files]
        self.keep(
            folder, Notes(paths, marks, noted_ns, digests, chunks).with_read(read, read_at_ns=read_at_ns)
        )

    def _load(self, folder: str) -> Notes:
        try:
            content = self._file(folder).read_bytes()
            if blake3(memoryview(content)[RAW:]).digest() != content[:RAW]:
                return _nothing()
            stored = msgspec.msgpack.decode(memoryview(content)[RAW:], type=_Stored)
        except (FileNotFoundError, msgspec.DecodeError):
            return _nothing()
        if stored.version != _VERSION or stored.folder != folder:
            return _nothing()
        return Notes(
            stored.paths.split("\0") if stored.paths else [],
            np.frombuffer(stored.marks, np.int64).reshape(-1, 4),
            np.frombuffer(stored.noted_ns, np.int64),
            as_digests(stored.digests),
            {row: ChunkList(*chunks) for row, chunks in stored.chunks.items()},
        )

    def _file(self, folder: str) -> Path:
        return self._place / f"{blake3(os.fsencode(folder)).hexdigest(16)}.notes"


def _nothing() -> Notes:
    return Notes([], np.zeros((0, 4), np.int64), np.zeros(0, np.int64), np.zeros((0, RAW), np.uint8), {})
