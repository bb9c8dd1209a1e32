"""Frames of other trackers, whole, cut and damaged."""

from __future__ import annotations

import contextlib
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.importers.records import BadSourceError
from everloop.importers.wire import Message, leveldb_records, tensorflow_records

if TYPE_CHECKING:
    from pathlib import Path


def test_fields_of_all_kinds_are_read() -> None:
    data = (
        b"\x08\x96\x01"
        b"\x10"
        + b"\xff" * 9
        + b"\x01"
        + b"\x19"
        + struct.pack("<d", 1.5)
        + b"\x25"
        + struct.pack("<f", 2.5)
        + b"\x2a\x02hi\x2a\x01!"
    )
    found = Message(data)
    assert (found.number(1), found.number(2), found.double(3), found.single(4), found.texts(5)) == (
        150,
        -1,
        1.5,
        2.5,
        ["hi", "!"],
    )
    assert (found.number(9), found.text(9), 9 in found, found.message(9).fields) == (0, "", False, {})


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    with contextlib.suppress(BadSourceError):
        found = Message(data)
        assert all(number >= 0 for number in found.fields)


@pytest.mark.parametrize("sizes", [[1, 2, 3], [40_000, 5, 100_000], [32_768 - 7 - 7 - 3, 10], [0]])
def test_records_of_a_log_that_cross_its_blocks_are_whole(tmp_path: Path, sizes: list[int]) -> None:
    contents = [bytes([at % 250]) * size for at, size in enumerate(sizes)]
    written = bytearray(b"HEADER!")
    for content in contents:
        rest, is_first = content, True
        while rest or is_first:
            left = 32_768 - len(written) % 32_768
            if left < 7:
                written += bytes(left)
                continue
            part, rest = rest[: left - 7], rest[left - 7 :]
            kind = (1 if not rest else 2) if is_first else (4 if not rest else 3)
            written += b"\0\0\0\0" + len(part).to_bytes(2, "little") + bytes([kind]) + part
            is_first = False
    file = tmp_path / "log"
    file.write_bytes(written)
    assert list(leveldb_records(file, header=7)) == contents
    file.write_bytes(written[:-1] if sizes[-1] else written[:-3])
    assert list(leveldb_records(file, header=7)) == contents[:-1]


def test_a_record_of_an_impossible_length_ends_the_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes((1 << 60).to_bytes(8, "little") + bytes(100))
    assert list(tensorflow_records(tmp_path / "f")) == []
