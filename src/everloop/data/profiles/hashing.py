"""64-bit hashes of the values of an Arrow array, the same on every machine and with every version of a library.

They feed sketches that are stored, so no hash of DuckDB, Arrow or Python will do: these may change with an
upgrade. Texts are hashed as polynomials of their bytes, all at once through prefix sums. They are no protection
against someone who wants two values to collide. Tests: tests/unit/data/test_hashing.py.
"""

from __future__ import annotations

from functools import cache
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from blake3 import blake3
from numpy.typing import NDArray

HashArray: TypeAlias = NDArray[np.uint64]

_BLOCK_BYTES = 65_536
_MASK = (1 << 64) - 1
_NULL = 0x9E3779B97F4A7C15
# An odd number has an inverse modulo 2**64, which takes a text's place in the block out of its polynomial.
_FACTOR = 0x5851F42D4C957F2D
_MIX = np.uint64(0xD6E8FEB86659FD93)
_HALF = np.uint64(32)
# A step that leaves its temporary arrays in the processor's cache; four times faster than one over all.
_STEP = 32_768


def hash_array(array: Any) -> HashArray:  # noqa: ANN401 - an Arrow array of any type
    """Return a hash of each value, shape (n,); equal values of one type have equal hashes, nulls have one of their own.

    Floats that are no number share a hash, and so do both zeros.
    """
    found = _hash_values(array)
    if array.null_count:
        found = np.where(_valid(array), found, np.uint64(_NULL))
    return found


def mix(values: HashArray) -> HashArray:
    """Return numbers whose every bit depends on every bit of the input; different inputs stay different."""
    found = np.empty_like(values)
    for start in range(0, values.size, _STEP):
        found[start : start + _STEP] = _mixed(values[start : start + _STEP])
    return found


def _mixed(values: HashArray) -> HashArray:
    # Source: Degski's 64-bit mixer, as measured by Chris Wellons, Prospecting for Hash Functions (2018).
    # The sum keeps zero, the commonest number, from being the one value whose hash has no bit set.
    h = values + np.uint64(_NULL)
    h ^= h >> _HALF
    h *= _MIX
    h ^= h >> _HALF
    h *= _MIX
    h ^= h >> _HALF
    return h


def _hash_values(array: Any) -> HashArray:  # noqa: ANN401, PLR0911 - one line a family of types
    kind = array.type
    if pa.types.is_dictionary(kind):
        indices = pc.fill_null(array.indices, 0).to_numpy(zero_copy_only=False)
        return hash_array(array.dictionary)[indices] if len(array.dictionary) else _zeros(array)
    if pa.types.is_floating(kind):
        return _hash_floats(array)
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_temporal(kind):
        return _hash_integers(array)
    if pa.types.is_decimal(kind):
        return _hash_texts(array.cast(pa.string()))
    if pa.types.is_fixed_size_binary(kind):
        return _hash_texts(array.cast(pa.binary()))
    if pa.types.is_struct(kind):
        return _hash_structs(array)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _hash_lists(array)
    if pa.types.is_map(kind):
        return _hash_lists(
            array.cast(pa.list_(pa.struct([("key", kind.key_type), ("value", kind.item_type)])))
        )
    if pa.types.is_null(kind):
        return _zeros(array)
    return _hash_texts(array)


def _zeros(array: Any) -> HashArray:  # noqa: ANN401
    return np.zeros(len(array), dtype=np.uint64)


def _valid(array: Any) -> NDArray[np.bool_]:  # noqa: ANN401
    return np.asarray(array.is_valid().to_numpy(zero_copy_only=False), dtype=bool)


def _hash_floats(array: Any) -> HashArray:  # noqa: ANN401
    values = array if not array.null_count else pc.fill_null(array, 0)
    # Adding zero makes a zero of the negative zero.
    numbers = values.to_numpy(zero_copy_only=False).astype(np.float64) + 0.0
    numbers[np.isnan(numbers)] = np.nan
    return mix(numbers.view(np.uint64))


def _hash_integers(array: Any) -> HashArray:  # noqa: ANN401
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.uint8())
    elif pa.types.is_temporal(array.type):
        array = array.view(pa.int64() if array.type.bit_width == 64 else pa.int32())  # noqa: PLR2004 - bits
    values = array if not array.null_count else pc.fill_null(array, 0)
    return mix(values.to_numpy(zero_copy_only=False).astype(np.int64).view(np.uint64))


def _hash_structs(array: Any) -> HashArray:  # noqa: ANN401
    found = _zeros(array)
    for index in range(array.type.num_fields):
        found = mix(found * np.uint64(_FACTOR) + hash_array(array.field(index)))
    return found


def _hash_lists(array: Any) -> HashArray:  # noqa: ANN401
    if pa.types.is_fixed_size_list(array.type):
        array = array.cast(pa.list_(array.type.value_type))
    offsets = array.offsets.to_numpy().astype(np.int64)
    items = hash_array(array.values.slice(offsets[0], offsets[-1] - offsets[0]))
    return _hash_sequences(items, offsets - offsets[0])


def _hash_texts(array: Any) -> HashArray:  # noqa: ANN401
    kind = array.type
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        array = array.cast(pa.binary() if pa.types.is_binary_view(kind) else pa.string())
    is_wide = pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type)
    width: Any = np.int64 if is_wide else np.int32
    _, ends, content = array.buffers()
    if not len(array) or ends is None:
        return _zeros(array)
    offsets = np.frombuffer(ends, dtype=width)[array.offset : array.offset + len(array) + 1].astype(np.int64)
    letters = np.frombuffer(content, dtype=np.uint8) if content is not None else np.zeros(0, dtype=np.uint8)
    return _hash_sequences(letters[offsets[0] : offsets[-1]], offsets - offsets[0])


def _hash_sequences(items: NDArray[Any], offsets: NDArray[np.int64]) -> HashArray:
    """Return the hash of each run of items between two offsets."""
    found = np.empty(offsets.size - 1, dtype=np.uint64)
    start = 0
    while start < found.size:
        end = int(np.searchsorted(offsets, offsets[start] + _BLOCK_BYTES, side="right")) - 1
        if end <= start:
            end = start + 1
            found[start] = _hash_long(items[offsets[start] : offsets[end]])
        else:
            found[start:end] = _hash_block(items, offsets[start : end + 1])
        start = end
    return found


def _hash_block(items: NDArray[Any], offsets: NDArray[np.int64]) -> HashArray:
    powers, inverses = _powers()
    places = offsets - offsets[0]
    size = int(places[-1])
    sums = np.zeros(size + 1, dtype=np.uint64)
    terms = items[offsets[0] : offsets[-1]].astype(np.uint64)
    terms += np.uint64(1)
    terms *= powers[:size]
    np.cumsum(terms, out=sums[1:])
    polynomials = (sums[places[1:]] - sums[places[:-1]]) * inverses[places[:-1]]
    return _mixed(polynomials + np.diff(places).astype(np.uint64))


def _hash_long(items: NDArray[Any]) -> int:
    return int.from_bytes(blake3(np.ascontiguousarray(items).tobytes()).digest(length=8), "little")


@cache
def _powers() -> tuple[HashArray, HashArray]:
    return _powers_of(_FACTOR), _powers_of(pow(_FACTOR, -1, 1 << 64))


def _powers_of(factor: int) -> HashArray:
    factors = np.full(_BLOCK_BYTES + 1, factor & _MASK, dtype=np.uint64)
    factors[0] = 1
    return np.multiply.accumulate(factors)
