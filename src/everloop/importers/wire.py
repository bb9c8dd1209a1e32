"""Read what other trackers frame: protobuf messages by field number, records of TensorFlow, logs of LevelDB.

Their schemas are a handful of numbers here, and a reader of the wire format is shorter than their descriptors would be.
Tests: tests/unit/importers/test_wire.py.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from everloop.importers.records import BadSourceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MOST_RECORD = 1 << 30
_BLOCK, _HEAD = 32 << 10, 7
_WHOLE, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4


class Message:
    """A protobuf message: values by field number, each a list. Missing fields read as their defaults."""

    def __init__(self, data: bytes) -> None:
        self.fields: dict[int, list[int | bytes]] = {}
        for number, value in _fields(data):
            self.fields.setdefault(number, []).append(value)

    def number(self, field: int, default: int = 0) -> int:
        """Return a whole number, signed as int64."""
        value = self._last(field)
        if not isinstance(value, int):
            return default
        return value - (1 << 64) if value >= 1 << 63 else value

    def double(self, field: int, default: float = 0.0) -> float:
        """Return a double."""
        value = self._last(field)
        return (
            float(struct.unpack("<d", value)[0]) if isinstance(value, bytes) and len(value) == 8 else default
        )

    def single(self, field: int, default: float = 0.0) -> float:
        """Return a float of 4 bytes."""
        value = self._last(field)
        return (
            float(struct.unpack("<f", value)[0]) if isinstance(value, bytes) and len(value) == 4 else default
        )

    def text(self, field: int) -> str:
        """Return a text."""
        return self.raw(field).decode(errors="replace")

    def raw(self, field: int) -> bytes:
        """Return bytes."""
        value = self._last(field)
        return value if isinstance(value, bytes) else b""

    def message(self, field: int) -> Message:
        """Return a message, an empty one when it is missing."""
        return Message(self.raw(field))

    def messages(self, field: int) -> list[Message]:
        """Return repeated messages."""
        return [Message(value) for value in self.fields.get(field, []) if isinstance(value, bytes)]

    def texts(self, field: int) -> list[str]:
        """Return repeated texts."""
        return [
            value.decode(errors="replace") for value in self.fields.get(field, []) if isinstance(value, bytes)
        ]

    def doubles(self, field: int) -> list[float]:
        """Return repeated doubles, packed or one by one."""
        found: list[float] = []
        for value in self.fields.get(field, []):
            if isinstance(value, bytes) and len(value) % 8 == 0:
                found += struct.unpack(f"<{len(value) // 8}d", value)
        return found

    def __contains__(self, field: int) -> bool:
        """Say whether a field is there."""
        return field in self.fields

    def _last(self, field: int) -> int | bytes | None:
        values = self.fields.get(field)
        return values[-1] if values else None


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == _BYTES:
            length, at = _varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        else:
            raise BadSourceError(
                f"a message has a field of the unknown kind {kind}. The file is damaged, or of another kind."
            )
        if at + length > end:
            raise BadSourceError(
                "a message ends before its last field. The file is damaged, or of another kind."
            )
        yield number, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & ((1 << 64) - 1), at
        shift += 7
    raise BadSourceError("a message holds a broken number. The file is damaged, or of another kind.")


def tensorflow_records(file: Path) -> Iterator[bytes]:
    """Yield the records of a TFRecord file up to the first that is cut or too long, as its writer may still be at work."""
    with file.open("rb") as stream:
        while len(head := stream.read(12)) == 12:
            length = int.from_bytes(head[:8], "little")
            if length > _MOST_RECORD:
                return
            content = stream.read(length)
            if len(content) < length or len(stream.read(4)) < 4:
                return
            yield content


def leveldb_records(file: Path, *, header: int) -> Iterator[bytes]:
    """Yield the records of a log in LevelDB's format up to the first that is cut.

    Args:
        file: the log.
        header: bytes before the first record, which count as part of the first block.
    """
    with file.open("rb") as stream:
        at = len(stream.read(header))
        parts: list[bytes] = []
        while True:
            left = _BLOCK - at % _BLOCK
            if left < _HEAD:
                at += len(stream.read(left))
                continue
            head = stream.read(_HEAD)
            if len(head) < _HEAD:
                return
            length, kind = int.from_bytes(head[4:6], "little"), head[6]
            content = stream.read(length)
            at += _HEAD + length
            if len(content) < length:
                return
            if kind in (_WHOLE, _FIRST):
                parts = []
            elif kind not in (_MIDDLE, _LAST):
                return
            parts.append(content)
            if kind in (_WHOLE, _LAST):
                yield b"".join(parts)
