"""Compression by many threads at a time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from everloop.core.compression import compress, decompress


def test_threads_do_not_disturb_each_other() -> None:
    pieces = [bytes([at % 251]) * 10_000 + at.to_bytes(4, "little") for at in range(400)]
    with ThreadPoolExecutor(8) as pool:
        back = list(pool.map(lambda piece: decompress(compress(piece), most=len(piece)), pieces))
    assert back == pieces
