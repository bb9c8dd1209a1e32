"""The log of one attempt while it runs: a folder of pieces that others may read at the same time.

A position counts the bytes of the whole log, time stamps included. Each piece is a file named by its first position. The first
pieces and the last ones are kept, those between are dropped, so that a step may print for days. Tests:
tests/unit/pipelines/test_spools.py.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec
import zstandard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

PIECE_BYTES = 1 << 20
# What is kept of a log at most: where it began, and where the reason of a failure usually is.
FIRST_PIECES = 4
LAST_PIECES = 4
# The catalog keeps so much of the end; a log that is not longer needs no object.
TAIL_BYTES = 64_000
_DROPPED = re.compile(rb"^\[(\d+) bytes of the log were dropped here\]\n", re.MULTILINE)


class LogText(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a log: where it starts, the bytes, and how many before it were dropped."""

    start: int
    content: bytes
    dropped: int = 0


class Spool:
    """Takes what an attempt prints; any thread may write. Nothing is on the disk before the first byte.

    Args:
        folder: of this attempt alone.
        now: the time for stamps.
    """

    def __init__(self, folder: Path, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.folder = folder
        self._now = now
        self._lock = threading.Lock()
        self._file: int | None = None
        self._position = 0
        self._room = 0
        self._starts: list[int] = []
        self._is_line_start = True
        self.lost = 0

    def write(self, content: bytes) -> None:
        """Append; each line gets the time at which its first byte came. A full disk loses lines, never the step."""
        if not content:
            return
        with self._lock:
            stamped = self._stamp(content)
            try:
                self._append(memoryview(stamped))
            except OSError:
                self.lost += len(stamped)

    def close(self) -> None:
        """Close the file; what was written stays."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None
                self._room = 0

    @property
    def position(self) -> int:
        """Return how long the log is, dropped pieces included."""
        return self._position

    def _stamp(self, content: bytes) -> bytes:
        stamp = self._now().strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3].encode() + b"Z "
        head = stamp if self._is_line_start else b""
        self._is_line_start = content.endswith(b"\n")
        body = content[:-1] if self._is_line_start else content
        return head + body.replace(b"\n", b"\n" + stamp) + (b"\n" if self._is_line_start else b"")

    def _append(self, content: memoryview) -> None:
        while content:
            if self._file is None or self._room == 0:
                self._file = self._turn(self._file)
            written = os.write(self._file, content[: self._room])
            content = content[written:]
            self._position += written
            self._room -= written

    def _turn(self, full: int | None) -> int:
        """Begin a new piece; drop the oldest that is neither among the first nor the last."""
        if full is not None:
            self._file = None
            os.close(full)
        self.folder.mkdir(parents=True, exist_ok=True)
        name = self.folder / f"{self._position:020d}.log"
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._room = PIECE_BYTES
        self._starts.append(self._position)
        if len(self._starts) > FIRST_PIECES + LAST_PIECES:
            dropped = self._starts.pop(FIRST_PIECES)
            (self.folder / f"{dropped:020d}.log").unlink(missing_ok=True)
        return file


def open_spool(home: Path, run: str, node: str, attempt: int) -> Spool:
    """Return the log of a new attempt. Who keeps the outcome of the attempt removes it."""
    return Spool(spool_folder(home, run, node, attempt))


def spool_folder(home: Path, run: str, node: str, attempt: int) -> Path:
    """Return the folder of an attempt's log while it runs."""
    return run_folder(home, run) / quote(node, safe="") / str(attempt)


def run_folder(home: Path, run: str) -> Path:
    """Return the folder with the logs of a run that runs, or whose process went away."""
    return home / "attempts" / run


def read_spool(folder: Path) -> list[LogText]:
    """Return what a spool holds now, in order; pieces that are dropped meanwhile are left out."""
    texts: list[LogText] = []
    position = 0
    with contextlib.suppress(FileNotFoundError):
        for name in sorted(os.listdir(folder)):  # noqa: PTH208 - names are all that is needed
            start = int(name.partition(".")[0])
            with contextlib.suppress(FileNotFoundError):
                content = (folder / name).read_bytes()
                texts.append(LogText(start=start, content=content, dropped=start - position))
                position = start + len(content)
    return texts


def forget(folder: Path) -> None:
    """Remove a spool, or those of a run."""
    shutil.rmtree(folder, ignore_errors=True)


def remove(folders: Iterable[Path]) -> None:
    """Remove the spools of attempts, and what is then empty around them."""
    for folder in folders:
        forget(folder)
        with contextlib.suppress(OSError):  # not empty: other attempts are there
            folder.parent.rmdir()
            folder.parent.parent.rmdir()


def join(texts: Sequence[LogText]) -> bytes:
    """Return one text; where bytes were dropped, a line says how many."""
    pieces = []
    for text in texts:
        if text.dropped:
            pieces.append(f"\n[{text.dropped} bytes of the log were dropped here]\n".encode())
        pieces.append(text.content)
    return b"".join(pieces)


def pack(texts: Sequence[LogText]) -> bytes:
    """Return the object of a whole log: its text, compressed."""
    return zstandard.compress(join(texts), 6)


def unpack(content: bytes) -> list[LogText]:
    """Return the texts of a packed log with their positions."""
    return split(zstandard.decompress(content, max_output_size=1 << 30))


def split(text: bytes) -> list[LogText]:
    """Take a joined log apart again."""
    texts: list[LogText] = []
    position, begin, dropped = 0, 0, 0
    for match in _DROPPED.finditer(text):
        content = text[begin : match.start() - 1]
        texts.append(LogText(start=position + dropped, content=content, dropped=dropped))
        position += dropped + len(content)
        begin, dropped = match.end(), int(match[1])
    texts.append(LogText(start=position + dropped, content=text[begin:], dropped=dropped))
    return texts


def tail(texts: Sequence[LogText]) -> bytes:
    """Return the end of a log as the catalog keeps it."""
    text = join(texts)
    if len(text) <= TAIL_BYTES:
        return text
    end = text[-TAIL_BYTES:]
    return end[end.find(b"\n") + 1 :]


def after(texts: Sequence[LogText], position: int, limit: int) -> LogText:
    """Return what follows a position, up to so many bytes; whole lines where there is one."""
    for text in texts:
        end = text.start + len(text.content)
        if end <= position:
            continue
        start = max(position, text.start)
        content = text.content[start - text.start :][:limit]
        if len(content) == limit and b"\n" in content:
            content = content[: content.rindex(b"\n") + 1]
        return LogText(start=start, content=content, dropped=start - position)
    return LogText(start=position, content=b"")
