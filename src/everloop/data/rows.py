"""Hashes of rows, and the digest of a table's content as a sum of them.

A row's hash depends on its columns' names and values and on nothing else: not on its place, nor on how it is stored. The
digest of a table is taken over columns, number of rows and the sum of the rows' hashes, so that it can be carried along:
an append adds, a deletion subtracts, and a table has one digest however it was reached. The order of rows is no content.

The mixing is that of MurmurHash3's finaliser (public domain), on two lanes of 64 bits: it finds accidents, not attacks;
what proves the very bytes is the BLAKE3 name of each part (docs/decisions/0006). Tests: tests/unit/data/test_rows.py,
tests/property/test_dataset_versions.py.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from blake3 import blake3

from everloop.core.digests import Digest, digest_value
from everloop.data.records import Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    from everloop.data.records import Column

    Words = npt.NDArray[np.uint64]

# Rows are hashed this many at a time, so that the working arrays stay in the processor's cache.
_AT_ONCE = 1 << 15
_M1 = np.uint64(0xFF51AFD7ED558CCD)
_M2 = np.uint64(0xC4CEB9FE1A85EC53)
_S33 = np.uint64(33)
_LANES = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93))
_NULL = np.uint64(0xA5A3564F1C2D7B19)
_WORD = 8
_MODULUS = 1 << 64
# Values of more bytes are hashed one by one; shorter ones all at once, a word at a time. It is asked of each value by itself, because
# a hash must not depend on the values beside it.
_LONG_TEXT = 96


class RowHashes(NamedTuple):
    """Hashes of n rows in order: two arrays of n unsigned words."""

    a: Words
    b: Words

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.a)

    def take(self, which: Any) -> RowHashes:  # noqa: ANN401 - a mask, a slice or positions
        """Return some of the rows."""
        return RowHashes(self.a[which], self.b[which])


def tally(hashes: RowHashes) -> Tally:
    """Return the tally of rows."""
    return Tally(len(hashes), int(hashes.a.sum(dtype=np.uint64)), int(hashes.b.sum(dtype=np.uint64)))


def content_digest(columns: Sequence[Column], counted: Tally) -> Digest:
    """Return the digest of a table's content: its columns in order, and its rows in any order."""
    described = [[column.name, column.type] for column in columns]
    return digest_value(["rows/1", described, counted.rows, f"{counted.a:016x}{counted.b:016x}"])


def sequence_digest(hashes: Iterable[RowHashes]) -> Digest:
    """Return the digest of rows in their order."""
    hasher = blake3()
    for piece in hashes:
        for start in range(0, len(piece), _AT_ONCE):
            part = piece.take(slice(start, start + _AT_ONCE))
            hasher.update(np.column_stack((part.a, part.b)).tobytes())
    return Digest("b3:" + hasher.hexdigest())


def hash_rows(table: pa.Table) -> RowHashes:
    """Return the hash of each row of a table in the normal form.

    Cost: about 0.1 s for a million rows of six columns.
    """
    n = table.num_rows
    a, b = np.empty(n, np.uint64), np.empty(n, np.uint64)
    seeds = [_seeds(name) for name in table.column_names]
    at = 0
    for batch in table.to_batches(max_chunksize=_AT_ONCE):
        end = at + batch.num_rows
        _hash_batch(batch, seeds, a[at:end], b[at:end])
        at = end
    return RowHashes(a, b)


def _hash_batch(batch: pa.RecordBatch, seeds: Sequence[tuple[int, int, int]], a: Words, b: Words) -> None:
    a.fill(0)
    b.fill(0)
    for column, (salt, first, second) in zip(batch.columns, seeds, strict=True):
        # Each further word of a value enters with other factors, so that words cannot change places.
        for turn, words in enumerate(_words(column)):
            words ^= np.uint64(salt)  # noqa: PLW2901 - in place
            _mix(words)
            a += words * np.uint64((first + 2 * turn) % _MODULUS)
            b += words * np.uint64((second + 2 * turn) % _MODULUS)
    a ^= b >> np.uint64(29)
    _mix(a)
    b += a
    _mix(b)


def _mix(words: Words) -> None:
    """Mix words in place."""
    shifted = words >> _S33
    words ^= shifted
    words *= _M1
    np.right_shift(words, _S33, out=shifted)
    words ^= shifted
    words *= _M2
    np.right_shift(words, _S33, out=shifted)
    words ^= shifted


@lru_cache(maxsize=4096)
def _seeds(name: str) -> tuple[int, int, int]:
    """Return the salt of a column, and its odd factor in each lane."""
    salt, first, second = struct.unpack("<3Q", blake3(name.encode()).digest(24))
    return salt, first | 1, second | 1


def _words(array: Any) -> list[Words]:  # noqa: ANN401 - an Arrow array of any type
    """Return one or two words for each value, whatever stands beside it; a missing value has words of its own."""
    kind = array.type
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        words = _text_words(array)
    elif pa.types.is_floating(kind):
        words = [_float_words(array)]
    elif pa.types.is_boolean(kind):
        words = [pc.fill_null(array, False).to_numpy(zero_copy_only=False).astype(np.uint64)]
    elif pa.types.is_integer(kind) or pa.types.is_temporal(kind):
        words = [_integer_words(array)]
    else:
        words = _value_words(array.to_pylist())
    if array.null_count:
        missing = ~array.is_valid().to_numpy(zero_copy_only=False)
        for one in words:
            one[missing] = _NULL
    return words


def _float_words(array: Any) -> Words:  # noqa: ANN401
    values = np.array(pc.fill_null(array, 0).to_numpy(zero_copy_only=False), dtype=np.float64)
    values[np.isnan(values)] = np.nan
    return values.view(np.uint64)


_VIEWS = {4: pa.int32(), 8: pa.int64()}


def _integer_words(array: Any) -> Words:  # noqa: ANN401
    plain = array.view(_VIEWS[array.type.bit_width // 8]) if pa.types.is_temporal(array.type) else array
    values = (pc.fill_null(plain, 0) if plain.null_count else plain).to_numpy(zero_copy_only=False)
    return np.array(values, dtype=np.uint64 if values.dtype.kind == "u" else np.int64).view(np.uint64)


def _text_words(array: Any) -> list[Words]:  # noqa: ANN401
    n = len(array)
    _, offset_buffer, content = array.buffers()
    offsets = np.frombuffer(offset_buffer, dtype=np.int32)[array.offset : array.offset + n + 1]
    starts, lengths = offsets[:-1].astype(np.int64), np.diff(offsets).astype(np.int64)
    low, high = int(offsets[0]), int(offsets[-1])
    long = np.flatnonzero(lengths > _LONG_TEXT)
    # Eight bytes of zeros beyond the end, so that the last word of the last value can be read.
    held = np.zeros(high - low + _WORD, np.uint8)
    if content is not None:
        held[: high - low] = np.frombuffer(content, dtype=np.uint8)[low:high]
    lengths[long] = 0
    words = _hash_texts(held, starts - low, lengths)
    if len(long):
        values = array if len(long) == n else array.take(pa.array(long))
        for one, found in zip(words, _value_words(values.to_pylist()), strict=True):
            one[long] = found
    return words


def _hash_texts(
    held: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
) -> list[Words]:
    every_word = np.ndarray((len(held) - _WORD + 1,), dtype="<u8", buffer=held, strides=(1,))
    first = lengths.view(np.uint64) * _LANES[0]
    second = lengths.view(np.uint64) * _LANES[1] + _M2
    which: Any = slice(None)
    # A value of no bytes takes the first turn too, also where all are like it.
    for at in range(0, max(1, int(lengths.max(initial=0))), _WORD):
        if at:
            which = np.flatnonzero(lengths > at)
        left = lengths[which] - at
        words = every_word[starts[which] + at]
        spare = np.uint64(8) * (np.uint64(_WORD) - np.minimum(left, _WORD).view(np.uint64))
        # A value of no bytes has no word: shifting by 64 bits would leave it.
        words = np.where(left > 0, words << spare, np.uint64(0))
        _mix(words)
        first[which] = (first[which] ^ words) * _LANES[1] + _M1
        second[which] = (second[which] + words) * _LANES[0] ^ (second[which] >> _S33)
    return [first, second]


def _value_words(values: Sequence[object]) -> list[Words]:
    """Hash values one by one: long texts, decimals, lists, structs."""
    digests = b"".join(_value_digest(value) for value in values)
    both = np.frombuffer(digests, dtype="<u8").reshape(-1, 2)
    return [both[:, 0].copy(), both[:, 1].copy()]


def _value_digest(value: object) -> bytes:
    if isinstance(value, str):
        value = value.encode()
    content = (
        value
        if isinstance(value, bytes)
        else msgspec.msgpack.encode(value, enc_hook=repr, order="deterministic")
    )
    return blake3(content).digest(16)
