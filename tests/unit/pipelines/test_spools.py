"""The log of an attempt: stamped, bounded, readable while it is written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.pipelines import spools
from everloop.pipelines.spools import LogText, Spool

if TYPE_CHECKING:
    from pathlib import Path

STAMP = "2013-02-01T00:00:00.000Z "


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "log", now=lambda: datetime(2013, 2, 1, tzinfo=UTC))


def text_of(spool: Spool) -> str:
    return spools.join(spools.read_spool(spool.folder)).decode()


def test_each_line_has_its_time_however_it_was_cut(spool: Spool) -> None:
    for piece in (b"one\ntw", b"o", b"\n", b"three\n\n"):
        spool.write(piece)

    assert text_of(spool) == f"{STAMP}one\n{STAMP}two\n{STAMP}three\n{STAMP}\n"


def test_an_attempt_that_prints_nothing_leaves_no_file(spool: Spool) -> None:
    spool.write(b"")
    spool.close()

    assert not spool.folder.exists()


def test_a_line_can_be_read_before_it_is_whole(spool: Spool) -> None:
    spool.write(b"at work")

    assert text_of(spool) == f"{STAMP}at work"


def test_the_middle_of_a_long_log_is_dropped_and_counted(spool: Spool) -> None:
    for number in range(20_000):
        spool.write(f"{number:06d} {'x' * 992}\n".encode())
    texts = spools.read_spool(spool.folder)
    kept = sum(len(text.content) for text in texts)

    assert kept <= (spools.FIRST_PIECES + spools.LAST_PIECES) * spools.PIECE_BYTES
    assert kept + sum(text.dropped for text in texts) == spool.position
    joined = spools.join(texts)
    assert b" 000000 x" in joined
    assert b" 019999 x" in joined
    assert b" bytes of the log were dropped here]" in joined


def test_a_packed_log_keeps_its_positions(spool: Spool) -> None:
    for number in range(20_000):
        spool.write(f"{number:06d} {'x' * 992}\n".encode())
    texts = spools.read_spool(spool.folder)

    again = spools.unpack(spools.pack(texts))

    assert again[0].content == b"".join(text.content for text in texts[: spools.FIRST_PIECES])
    assert again[1].start == texts[spools.FIRST_PIECES].start
    assert again[1].start + len(again[1].content) == spool.position


@given(st.lists(st.tuples(st.integers(0, 50), st.binary(min_size=1, max_size=30)), min_size=1, max_size=5))
def test_a_log_taken_apart_again_is_the_same_text(gaps: list[tuple[int, bytes]]) -> None:
    texts, position = [], 0
    for number, (gap, content) in enumerate(gaps):
        dropped = gap if number else 0
        texts.append(LogText(start=position + dropped, content=content, dropped=dropped))
        position += dropped + len(content)

    assert spools.join(spools.split(spools.join(texts))) == spools.join(texts)


@given(st.lists(st.text("ab", max_size=30), max_size=20), st.integers(1, 40))
def test_pages_put_together_are_the_log(lines: list[str], limit: int) -> None:
    content = "".join(f"{line}\n" for line in lines).encode()
    texts = [LogText(start=0, content=content)]
    read, position = b"", 0
    while page := spools.after(texts, position, limit).content:
        read += page
        position += len(page)

    assert read == content


def test_a_disk_that_takes_no_more_loses_lines_and_not_the_step(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    spool = Spool(tmp_path / "file" / "log")  # no folder can be made in a file

    spool.write(b"lost\n")

    assert spool.lost > 0
    assert spool.position == 0


def test_a_spool_is_removed_with_the_folders_that_are_empty_then(tmp_path: Path) -> None:
    made = [spools.open_spool(tmp_path, "run", "a", 1), spools.open_spool(tmp_path, "run", "b[0]", 1)]
    for one in made:
        one.write(b"line\n")
        one.close()

    spools.remove([made[0].folder])

    assert not made[0].folder.parent.exists()
    assert made[1].folder.exists()

    spools.remove([made[1].folder])

    assert not spools.run_folder(tmp_path, "run").exists()
