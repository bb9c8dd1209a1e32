"""How many different values there are, from 4,096 registers that can be merged (HyperLogLog).

The registers depend on the set of values only: not on their order, number or cut into parts. Sources: Flajolet
et al., HyperLogLog (2007); the estimate, good from one value to billions, is Ertl's, New cardinality estimation
algorithms for HyperLogLog sketches (2017), algorithm 6. The error is about 1.04 / sqrt(4096) = 1.6 %. Tests:
tests/property/test_statistics.py, tests/unit/data/test_statistics.py.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from everloop.data.profiles.hashing import HashArray

Registers: TypeAlias = NDArray[np.uint8]

_BITS = 12
_COUNT = 1 << _BITS
_REST = 64 - _BITS
_REST_MASK = np.uint64((1 << _REST) - 1)
_EXPONENT_BIAS = 1023
_MANTISSA = 52


def no_registers() -> Registers:
    """Return the registers of no values."""
    return np.zeros(_COUNT, dtype=np.uint8)


def observe(registers: Registers, hashes: HashArray) -> None:
    """Let the registers see values, in place."""
    # A rank above every register's has so many lowest bits unset; soon few hashes have.
    unset = np.uint64((1 << int(registers.min())) - 1)
    hashes = hashes[hashes & unset == 0] if unset else hashes
    places = (hashes >> np.uint64(_REST)).view(np.int64)
    ranks = _ranks(hashes & _REST_MASK)
    is_higher = ranks > registers[places]
    np.maximum.at(registers, places[is_higher], ranks[is_higher])


def estimate(registers: Registers) -> int:
    """Return about how many different values the registers saw."""
    counts = np.bincount(registers, minlength=_REST + 2).tolist()
    z = _COUNT * _tau(1 - counts[_REST + 1] / _COUNT)
    for rank in range(_REST, 0, -1):
        z = 0.5 * (z + counts[rank])
    z += _COUNT * _sigma(counts[0] / _COUNT)
    return round(_COUNT * _COUNT / (2 * math.log(2) * z)) if math.isfinite(z) else 0


def _ranks(rests: HashArray) -> Registers:
    """Return the place of the lowest bit that is set, from 1; one more than there are bits where none is."""
    lowest = (rests & (~rests + np.uint64(1))).view(np.int64).astype(np.float64)
    exponents = (lowest.view(np.int64) >> _MANTISSA) - _EXPONENT_BIAS
    return np.where(rests == 0, _REST + 1, exponents + 1).astype(np.uint8)


def _sigma(x: float) -> float:
    if x == 1:
        return math.inf
    y, z, before = 1.0, x, -1.0
    while z != before:
        x *= x
        before = z
        z += x * y
        y += y
    return z


def _tau(x: float) -> float:
    if x in (0, 1):
        return 0.0
    y, z, before = 1.0, 1 - x, -1.0
    while z != before:
        x = math.sqrt(x)
        before = z
        y *= 0.5
        z -= (1 - x) ** 2 * y
    return z / 3
