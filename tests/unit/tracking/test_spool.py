"""The file that holds what a home does not have yet."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from everloop.tracking.series.columns import pack
from everloop.tracking.spool import Batch, End, Spool, Start, discard, read, read_from, spools

if TYPE_CHECKING:
    from pathlib import Path

START = Start(id="r1", experiment="e", name="n", started_at=5)
BATCH = Batch(sequence=0, series=[pack("loss", [0.0], [1], [2.0])], params={"depth": 3}, tags={"a": "b"})
END = End(status="finished", error="", ended_at=9)


def test_entries_come_back_in_order(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "r1", "w")
    for entry in (START, BATCH, END):
        spool.append(entry)
    assert list(read(spool.path)) == [START, BATCH, END]
    assert spools(tmp_path) == [spool.path]


def test_a_reader_goes_on_where_it_stopped(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "r1", "w")
    spool.append(START)
    [(_, end)] = read_from(spool.path, 0)
    spool.append(END)
    assert [entry for entry, _ in read_from(spool.path, end)] == [END]


@pytest.mark.parametrize("lost", [1, 5, 30])
def test_a_frame_that_is_cut_ends_the_file(tmp_path: Path, lost: int) -> None:
    spool = Spool(tmp_path / "r1", "w")
    spool.append(START)
    spool.append(BATCH)
    os.truncate(spool.path, spool.size_bytes - lost)
    assert list(read(spool.path)) == [START]


def test_a_damaged_frame_ends_the_file(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "r1", "w")
    spool.append(START)
    at = spool.size_bytes
    spool.append(BATCH)
    content = bytearray(spool.path.read_bytes())
    content[at + 12] ^= 1
    spool.path.write_bytes(bytes(content))
    assert list(read(spool.path)) == [START]


def test_an_entry_that_does_not_fit_the_disk_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path / "r1", "w")
    spool.append(START)
    real = os.write

    def write_half(file: int, content: memoryview) -> int:
        if len(content) < 20:
            raise OSError(28, "No space left on device")
        return real(file, content[:-10])

    monkeypatch.setattr(os, "write", write_half)
    with pytest.raises(OSError, match="No space"):
        spool.append(BATCH)
    monkeypatch.undo()
    spool.append(END)
    assert list(read(spool.path)) == [START, END]


def test_a_discarded_spool_takes_its_contents_and_its_folder_along(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "r1", "w")
    (tmp_path / "r1" / "w.1").write_bytes(b"artifact")
    other = Spool(tmp_path / "r1", "x")
    discard(spool.path)
    assert [path.name for path in (tmp_path / "r1").iterdir()] == ["x.spool"]
    discard(other.path)
    assert list(tmp_path.iterdir()) == []
