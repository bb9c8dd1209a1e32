"""zstd for many small pieces: one compressor for each thread, because the library's may not be shared by two at a time.

Tests: tests/unit/core/test_compression.py.
"""

from __future__ import annotations

import threading

import zstandard

_LEVEL = 3


class _Tools(threading.local):
    def __init__(self) -> None:
        self.compress = zstandard.ZstdCompressor(level=_LEVEL).compress
        self.decompress = zstandard.ZstdDecompressor().decompress


_tools = _Tools()


def compress(data: bytes) -> bytes:
    """Return bytes compressed, with their length in the head."""
    return _tools.compress(data)


def decompress(data: bytes, *, most: int = 0) -> bytes:
    """Return what `compress` was given.

    Args:
        data: compressed bytes.
        most: as many bytes may come out, when the head does not say how many.

    Raises:
        zstandard.ZstdError: this is no such thing.
    """
    return _tools.decompress(data, max_output_size=most)
