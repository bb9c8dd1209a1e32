"""Listen to what this process prints, line by line, without taking it away.

The `write` of the stream objects is replaced, not the objects, so that handlers of `logging` which hold them are heard too. A line that a
carriage return begins anew (a progress bar) counts once, as it was left. What C code or other processes print is not heard.
Tests: tests/unit/tracking/test_console.py.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

LONGEST_WAITING = 64 << 10


class Listener(Protocol):
    """Is told each line without its end, and whether it went to standard error."""

    def __call__(self, text: str, is_error: bool, /) -> None:  # noqa: FBT001 - of a stream
        """Take a line."""
        ...


class _Lines:
    """Cuts what one stream prints into lines."""

    def __init__(self, *, is_error: bool) -> None:
        self._is_error = is_error
        self._waiting = ""

    def add(self, text: str) -> list[tuple[str, bool]]:
        """Return the lines that are whole now."""
        self._waiting += text
        if "\n" not in self._waiting and "\r" not in self._waiting and len(self._waiting) < LONGEST_WAITING:
            return []
        *whole, self._waiting = self._waiting.split("\n")
        # What comes before a carriage return in a line that goes on will be overwritten.
        self._waiting = self._waiting[max(self._waiting.rstrip("\r").rfind("\r"), 0) :]
        if len(self._waiting) >= LONGEST_WAITING:
            whole.append(self._waiting)
            self._waiting = ""
        return [(_as_left(line), self._is_error) for line in whole]

    def rest(self) -> list[tuple[str, bool]]:
        """Return the last line, which has no end."""
        rest, self._waiting = _as_left(self._waiting), ""
        return [(rest, self._is_error)] if rest else []


def _as_left(line: str) -> str:
    """Return what is seen of a line with carriage returns in it: what stands behind the last one that has something behind it."""
    if "\r" not in line:
        return line
    return line.rstrip("\r").rpartition("\r")[2]


class _Console:
    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._listeners: list[Listener] = []
        self._lines: list[_Lines] = []
        self._patched: list[tuple[Any, Callable[[str], int], Callable[[str], int]]] = []
        self._speaking = threading.local()

    def add(self, listener: Listener) -> None:
        """Begin to listen."""
        with self._lock:
            self._patch()
            self._listeners.append(listener)

    def remove(self, listener: Listener) -> None:
        """Tell the line that has begun, and stop listening."""
        with self._lock:
            if listener not in self._listeners:
                return
            rests = [line for lines in self._lines for line in lines.rest()]
            others = tuple(self._listeners)
            self._listeners.remove(listener)
            if not self._listeners:
                self._restore()
        self._tell(rests, others)

    def _patch(self) -> None:
        """Listen to the streams of now; a program may have put others in their place since the last time."""
        for stream, is_error in ((sys.stdout, False), (sys.stderr, True)):
            if stream is None or any(stream is known for known, _, _ in self._patched):
                continue
            lines = _Lines(is_error=is_error)
            before = stream.write
            after = self._writer(before, lines)
            try:
                stream.write = after  # type: ignore[method-assign] # put back in _restore
            except (AttributeError, TypeError):  # a stream that cannot be changed is not heard
                continue
            self._lines.append(lines)
            self._patched.append((stream, before, after))

    def _writer(self, write: Callable[[str], int], lines: _Lines) -> Callable[[str], int]:
        def heard(text: str) -> int:
            written = write(text)
            # Whoever prints while lines are told must not be told again.
            if isinstance(text, str) and not getattr(self._speaking, "now", False):
                with self._lock:
                    whole, listeners = lines.add(text), tuple(self._listeners)
                self._tell(whole, listeners)
            return written

        return heard

    def _tell(self, lines: list[tuple[str, bool]], listeners: tuple[Listener, ...]) -> None:
        """Tell lines, holding no lock: listeners take locks whose owners may print."""
        if not lines:
            return
        self._speaking.now = True
        try:
            for text, is_error in lines:
                for listener in listeners:
                    listener(text, is_error)
        finally:
            self._speaking.now = False

    def _restore(self) -> None:
        for stream, before, after in self._patched:
            # Somebody else may have replaced it since; then theirs stays, and ours behind it tells nobody.
            if stream.write is after:
                stream.write = before
        self._patched.clear()
        self._lines.clear()


_console = _Console()


def listen(listener: Listener) -> Callable[[], None]:
    """Tell a listener each line that this process prints from now on; return what ends it."""
    _console.add(listener)
    return lambda: _console.remove(listener)
