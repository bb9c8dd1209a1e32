"""Frames are read back to the last whole one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from everloop.serving.frames import SegmentWriter, is_abandoned, read_frames

if TYPE_CHECKING:
    from pathlib import Path


def test_frames_come_back_in_order_and_from_an_offset(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, "predictions")
    for content in (b"one", b"", b"three"):
        writer.append(content)
    (path,) = tmp_path.iterdir()
    frames = list(read_frames(path))
    assert [frame.content for frame in frames] == [b"one", b"", b"three"]
    assert [frame.content for frame in read_frames(path, frames[0].end)] == [b"", b"three"]
    writer.close()


def test_a_torn_or_damaged_frame_ends_the_segment(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, "predictions")
    for content in (b"one", b"two"):
        writer.append(content)
    writer.close()
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        assert len(list(read_frames(path))) == (cut >= len(whole) // 2)
    path.write_bytes(whole[:-1] + b"X")
    assert [frame.content for frame in read_frames(path)] == [b"one"]


def test_a_segment_is_abandoned_when_its_writer_closes(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, "labels")
    writer.append(b"x")
    (path,) = tmp_path.iterdir()
    assert not is_abandoned(path)
    writer.close()
    assert is_abandoned(path)


def test_a_full_segment_is_rolled(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, "predictions", roll_bytes=10)
    for _ in range(3):
        writer.append(b"twelve bytes")
    writer.close()
    assert len(list(tmp_path.iterdir())) == 3
