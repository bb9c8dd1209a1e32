"""A pack tells by itself what it holds, and a damaged one says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from everloop.core.digests import digest_bytes
from everloop.kernel.objects import packs
from everloop.kernel.objects.files.local import LocalFiles
from everloop.kernel.objects.packs import DamagedPackError, Pack, fill_packs, read_index

if TYPE_CHECKING:
    from pathlib import Path

CONTENTS = [b"one", b"", b"three" * 10]


@pytest.fixture
def files(tmp_path: Path) -> LocalFiles:
    return LocalFiles(tmp_path / "store")


def packed(contents: list[bytes]) -> Pack:
    pack = Pack()
    for content in contents:
        pack.add(digest_bytes(content), content, len(content))
    return pack


def test_the_index_says_where_each_object_is(files: LocalFiles) -> None:
    pack = packed(CONTENTS)
    files.write(pack.name, pack.pieces(), durable=False)

    found = read_index(files, pack.name, files.size(pack.name) or 0)

    assert found == pack.locations
    assert [files.read(pack.name, place.offset or 0, place.size) for place in found] == CONTENTS


def test_packs_are_closed_at_their_target_and_keep_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packs, "TARGET", 100)
    contents = [bytes([number]) * 30 for number in range(10)]

    made = list(fill_packs((digest_bytes(content), content) for content in contents))

    assert [len(pack.locations) for pack in made] == [4, 4, 2]
    assert [place.digest for pack in made for place in pack.locations] == [
        digest_bytes(content) for content in contents
    ]


def test_nothing_to_pack_makes_no_pack() -> None:
    assert list(fill_packs([])) == []


@pytest.mark.parametrize("place", [-1, -20, -45, -60])
def test_a_flipped_bit_in_index_or_footer_is_found(files: LocalFiles, place: int) -> None:
    pack = packed(CONTENTS)
    content = bytearray(b"".join(pack.pieces()))
    content[place] ^= 1
    files.write("packs/x.pack", [bytes(content)], durable=False)

    with pytest.raises(DamagedPackError, match="packs/x.pack is damaged"):
        read_index(files, "packs/x.pack", len(content))


@pytest.mark.parametrize("kept", [0, 10, 60])
def test_a_truncated_pack_is_damaged(files: LocalFiles, kept: int) -> None:
    content = b"".join(packed(CONTENTS).pieces())[:kept]
    files.write("packs/x.pack", [content], durable=False)

    with pytest.raises(DamagedPackError):
        read_index(files, "packs/x.pack", kept)
