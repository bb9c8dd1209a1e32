"""The workspace index: what the content of a file was when it was last read, so that an unchanged file is not read again.

A file counts as unchanged when size, both times of change and inode are as noted, and the times are older than the note: one that
changed in the very moment of the note is read again. Any number of processes may share the file; losing it costs a
reading, nothing else. Tests: tests/unit/data/files/test_folders.py.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from everloop.data.files.rows import ChunkList

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from everloop.data.files.scan import Found

# Times of files are this coarse at worst on the file systems in use.
_COARSE_NS = 50_000_000
_MAKE = """
CREATE TABLE IF NOT EXISTS file (
    folder TEXT NOT NULL, path TEXT NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL,
    inode INTEGER NOT NULL, noted_ns INTEGER NOT NULL, digest BLOB NOT NULL, chunks BLOB NOT NULL, chunk_sizes BLOB NOT NULL,
    PRIMARY KEY (folder, path)
) WITHOUT ROWID
"""


class Noted(NamedTuple):
    """The content of a file: the 32 bytes of its digest, and its chunks if it is stored in chunks."""

    digest: bytes
    chunks: ChunkList | None


class WorkspaceIndex:
    """Notes of files, in one SQLite file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        file.parent.mkdir(parents=True, exist_ok=True)
        with closing(self._open()) as connection:
            connection.execute(_MAKE)

    def known(self, folder: str, files: Iterable[Found]) -> dict[str, Noted]:
        """Return the content, by path, of those files that did not change since they were noted."""
        with closing(self._open()) as connection:
            rows = connection.execute(
                "SELECT path, size, mtime_ns, ctime_ns, inode, noted_ns, digest, chunks, chunk_sizes FROM file WHERE folder = ?",
                (folder,),
            ).fetchall()
        notes = {row[0]: row for row in rows}
        found = {}
        for file in files:
            row = notes.get(file.path)
            if row is None or row[1:5] != file.mark or max(row[2], row[3]) + _COARSE_NS > row[5]:
                continue
            chunks = ChunkList(row[7], row[8]) if row[7] else None
            found[file.path] = Noted(row[6], chunks)
        return found

    def note(self, folder: str, files: Sequence[tuple[Found, Noted]], *, read_at_ns: int) -> None:
        """Keep what files hold; call it only when their content is durable.

        Args:
            folder: the real path of the folder.
            files: each as it was before it was read.
            read_at_ns: when the first of them was looked at.
        """
        rows = [
            (folder, file.path, *file.mark, read_at_ns, noted.digest, *(noted.chunks or (b"", b"")))
            for file, noted in files
        ]
        with closing(self._open()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT OR REPLACE INTO file VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
            connection.execute("COMMIT")

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._file, timeout=60, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")
        return connection
