# ruff: noqa: T201 - printing is what is tested
"""Listening to what the process prints."""

from __future__ import annotations

import gc
import io
import logging
import sys
import threading
from typing import TYPE_CHECKING

from everloop.tracking import Tracking, console
from everloop.tracking.console import LONGEST_WAITING, listen

if TYPE_CHECKING:
    import pytest

    from everloop.kernel.operations import Kernel


class Heard:
    def __init__(self) -> None:
        self.lines: list[tuple[str, bool]] = []

    def __call__(self, text: str, is_error: bool, /) -> None:  # noqa: FBT001 - a listener
        self.lines.append((text, is_error))


def test_lines_are_told_as_they_end_and_the_last_one_when_listening_ends(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = sys.stdout.write
    heard = Heard()
    end = listen(heard)
    print("one\ntwo")
    print("\x1b[31mred\x1b[0m", file=sys.stderr)
    print("no end", end="")
    assert heard.lines == [("one", False), ("two", False), ("\x1b[31mred\x1b[0m", True)]
    end()
    print("not heard")
    assert heard.lines[3:] == [("no end", False)]
    assert sys.stdout.write == before
    assert capsys.readouterr().out == "one\ntwo\nno endnot heard\n"


def test_a_stream_that_was_put_in_place_while_others_listen_is_heard_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = Heard(), Heard()
    end_first = listen(first)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    end_second = listen(second)
    print("new stream")
    end_second()
    end_first()
    assert (first.lines, second.lines) == ([("new stream", False)], [("new stream", False)])


def test_a_run_that_nobody_holds_does_not_go_on_listening(kernel: Kernel) -> None:
    gc.collect()
    before = console._console._listeners[:]
    forgotten = Tracking(kernel).start()
    assert len(console._console._listeners) == len(before) + 1
    del forgotten
    gc.collect()
    assert console._console._listeners == before


def test_a_listener_may_take_a_lock_whose_owner_prints() -> None:
    lock, told = threading.Lock(), threading.Event()
    heard = Heard()

    def careful(text: str, is_error: bool, /) -> None:  # noqa: FBT001 - a listener
        told.set()
        with lock:
            heard(text, is_error)

    end = listen(careful)
    with lock:
        other = threading.Thread(target=print, args=["from another thread"])
        other.start()
        assert told.wait(20)
        sys.stdout.write("while the lock is held, and no whole line")
    other.join(20)
    end()
    assert [text for text, _ in heard.lines] == [
        "from another thread",
        "while the lock is held, and no whole line",
    ]


def test_a_progress_bar_is_one_line_as_it_was_left() -> None:
    heard = Heard()
    end = listen(heard)
    for percent in range(0, 101, 10):
        print(f"\r{percent} %", end="")
    print()
    print("windows\r\nend\r")
    end()
    assert [text for text, _ in heard.lines] == ["100 %", "windows", "end"]


def test_a_line_that_never_ends_is_told_in_pieces() -> None:
    heard = Heard()
    end = listen(heard)
    for _ in range(3):
        sys.stdout.write("x" * (LONGEST_WAITING // 2))
    end()
    assert [len(text) for text, _ in heard.lines] == [LONGEST_WAITING, LONGEST_WAITING // 2]


def test_logging_that_holds_the_stream_is_heard_and_listeners_may_print() -> None:
    handler = logging.StreamHandler(sys.stderr)
    logger = logging.getLogger("test_console")
    logger.addHandler(handler)
    heard: list[str] = []

    def loud(text: str, is_error: bool, /) -> None:  # noqa: FBT001 - a listener
        heard.append(text)
        print("told", is_error)

    end = listen(loud)
    logger.warning("careful")
    end()
    logger.removeHandler(handler)
    assert heard == ["careful"]


def test_a_run_keeps_what_was_printed_while_it_went_on_unless_it_is_told_not_to(kernel: Kernel) -> None:
    tracking = Tracking(kernel)
    print("before")
    with tracking.start() as run:
        print("inside")
        print("oh", file=sys.stderr)
    print("after")
    with tracking.start(console=False) as silent:
        print("unheard")
    assert [(line.text, line.stream) for line in tracking.output(run.id)] == [
        ("inside", "stdout"),
        ("oh", "stderr"),
    ]
    assert tracking.output(silent.id) == []
