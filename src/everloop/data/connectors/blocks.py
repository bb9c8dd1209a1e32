"""Cutting a text stream into blocks of whole records, and working on several blocks at once.

pyarrow's own streaming reader uses one thread; its whole-file reader uses all but holds everything. Blocks cut
here are parsed by pyarrow in a few threads, in order, so both are had. Where a record ends is decided exactly as
pyarrow does: a field is quoted when its first character is a quote.
"""

from __future__ import annotations

import os
import re
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

Item = TypeVar("Item")
Result = TypeVar("Result")
# Types are taken from the first block; it is what it always was, so that content keeps its digest.
FIRST_BLOCK_BYTES = 16 << 20
BLOCK_BYTES = 8 << 20
# A record longer than this is an unclosed quote, not a record.
_LONGEST_RECORD_BYTES = 256 << 20
_QUOTE = 34
_NEWLINES = (10, 13)
_MARK = b"\xef\xbb\xbf"
# More threads than this wait for the one that cuts.
_THREADS = min(4, os.cpu_count() or 1)


class Block(NamedTuple):
    """Whole records as UTF-8; `line` is the number of the first line, from 1."""

    content: bytes
    line: int
    is_last: bool


class EndlessRecordError(ValueError):
    """No record ends where one must; `line` is where it began."""

    def __init__(self, line: int) -> None:
        super().__init__(f"a record that begins in line {line} does not end")
        self.line = line


def cut_blocks(stream: Any, border: Callable[[bytes], int]) -> Iterator[Block]:  # noqa: ANN401 - anything with read
    """Yield the blocks of a stream.

    Args:
        stream: its bytes, UTF-8.
        border: returns where the last whole record in some bytes ends, 0 when none does.

    Raises:
        EndlessRecordError: a record is longer than 256 MiB.
    """
    pending, line, size = b"", 1, FIRST_BLOCK_BYTES
    while True:
        read = _read(stream, size - len(pending))
        is_last = len(pending) + len(read) < size
        pending = (pending + read if pending else read).removeprefix(_MARK if line == 1 else b"")
        if is_last:
            break
        end = border(pending)
        if not end and len(pending) > _LONGEST_RECORD_BYTES:
            raise EndlessRecordError(line)
        if end:
            yield Block(pending[:end], line, is_last=False)
        line += count_lines(pending, end)
        pending = pending[end:]
        size = max(BLOCK_BYTES, 2 * len(pending))
    if pending:
        yield Block(pending, line, is_last=True)


def end_of_lines(content: bytes) -> int:
    """Return where the last line ends."""
    return content.rfind(b"\n") + 1


def end_of_records(content: bytes, separator: bytes) -> int:
    """Return where the last whole CSV record ends."""
    if b'"' not in content:
        return content.rfind(b"\n") + 1 or content.rfind(b"\r") + 1
    end = _end_by_parity(content, separator)
    if end is not None:
        return end
    found = _records(separator).match(content)
    return found.end() if found else 0


def unfinished_record(content: bytes, separator: bytes) -> int | None:
    """Return where a record begins that ends inside a quoted field, as in a file that was cut off; else None."""
    if b'"' not in content:
        return None
    start = end_of_records(content, separator)
    rest = content[start:]
    rest = rest if rest.endswith((b"\n", b"\r")) else rest + b"\n"
    found = _records(separator).match(rest)
    whole = found.end() if found else 0
    return start + whole if whole < len(rest) else None


def count_lines(content: bytes, end: int) -> int:
    """Return the number of lines before `end`."""
    return content.count(b"\n", 0, end) or content.count(b"\r", 0, end)


def work_in_order(items: Iterable[Item], work: Callable[[Item], Result]) -> Iterator[Result]:
    """Yield `work(item)` of each item in order; a few are worked on at once, so `work` releases the GIL."""
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="everloop-read") as pool:
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) > _THREADS:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _read(stream: Any, size: int) -> bytes:  # noqa: ANN401
    """Read until `size` bytes are there or the stream ends; a stream may give less than asked for."""
    pieces: list[bytes] = []
    while size > 0 and (piece := stream.read(size)):
        pieces.append(piece)
        size -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _end_by_parity(content: bytes, separator: bytes) -> int | None:
    """Return the border when every quote opens or closes a field; None when one stands in the middle of text.

    Then a newline is outside of fields exactly when an even number of quotes is before it.
    """
    text = np.frombuffer(content, dtype=np.uint8)
    quotes = np.flatnonzero(text == _QUOTE)
    end = len(content)
    while True:
        end = content.rfind(b"\n", 0, end)
        if end < 0:
            return None
        before = int(np.searchsorted(quotes, end))
        if before % 2 == 0:
            break
        end = int(quotes[before - 1])
    around = np.array([ord(separator), *_NEWLINES, _QUOTE], dtype=np.uint8)
    opening, closing = quotes[:before:2], quotes[1:before:2]
    opens = np.isin(text[opening[opening > 0] - 1], around).all()
    closes = np.isin(text[closing + 1], around).all()
    return end + 1 if opens and closes else None


@lru_cache(8)
def _records(separator: bytes) -> re.Pattern[bytes]:
    """Return the pattern of any number of whole records; possessive, so that it never looks back."""
    mark = re.escape(separator)
    plain = rb"[^\r\n" + mark + rb"]*+"
    field = rb'(?:"(?:[^"]++|"")*+"' + plain + rb'|(?!")' + plain + rb")"
    return re.compile(rb"(?:(?:" + field + mark + rb")*+" + field + rb"(?:\r\n?|\n))*+")
