"""Local copies are whole, verified and bounded."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from everloop.core.digests import digest_bytes
from everloop.kernel.objects.cache import LocalCache
from everloop.kernel.objects.protocol import DigestMismatchError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_a_copy_is_fetched_once(tmp_path: Path) -> None:
    cache, calls = LocalCache(tmp_path), []

    def fetch() -> list[bytes]:
        calls.append(1)
        return [b"con", b"tent"]

    for _ in range(2):
        assert cache.path(digest_bytes(b"content"), 7, fetch).read_bytes() == b"content"
    assert len(calls) == 1


def test_a_fetch_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fetch() -> Iterator[bytes]:
        yield b"wrong bytes"
        raise DigestMismatchError("damaged")

    with pytest.raises(DigestMismatchError):
        LocalCache(tmp_path).path(digest_bytes(b"content"), 7, fetch)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_the_least_recently_used_copies_go_first(tmp_path: Path) -> None:
    cache = LocalCache(tmp_path, limit=2_500, handed_out_s=-1.0)
    paths = []
    for number in range(4):
        content = bytes([number]) * 1_000
        paths.append(cache.path(digest_bytes(content), 1_000, lambda content=content: [content]))  # type: ignore[misc]
        os.utime(paths[-1], (number, number))

    assert [path.exists() for path in paths] == [False, False, True, True]


def test_a_copy_just_handed_out_stays_over_the_limit(tmp_path: Path) -> None:
    cache = LocalCache(tmp_path, limit=10)

    assert cache.path(digest_bytes(b"x" * 100), 100, lambda: [b"x" * 100]).exists()
