"""Which row describes each entity at its time, found while the rows pass by once, in any order and without being sorted.

The entities are sorted by key and time. A row counts for the entities of its key from the moment it can be used on, so it
lands at the first of them that is not before that moment, and only the best row that landed at each is held. At the end the
best of what landed at an entity or at one before it is its answer. Sorting the rows instead, as an ASOF join does, would cost
their number times its logarithm, and twice for two clocks.
Tests: tests/unit/data/features/test_choosing.py, tests/property/test_features.py.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Words = npt.NDArray[np.int64]

# Rows at once, so that the working arrays stay in the processor's cache.
_AT_ONCE = 1 << 15
_NEVER = np.iinfo(np.int64).min
NOWHERE = -1


class Chosen(NamedTuple):
    """The answer of each of n entities: the place and event time of its row, `NOWHERE` for none.

    Attributes:
        tied: entities at which several rows were equally good; which of them is `places` was left to chance.
    """

    places: Words
    happened: Words
    known: Words
    landed: Words
    tied: npt.NDArray[np.bool_]


class Choice:
    """The best rows so far for entities in the order of their key and time.

    Args:
        codes: numbers of the keys of n entities, ascending from 0.
        moments: their times, ascending within a key.
        count: how many keys there are.
    """

    def __init__(self, codes: Words, moments: Words, count: int) -> None:
        borders = np.searchsorted(codes, np.arange(count + 1))
        self._codes = codes
        # With one in front, so that the last of the first i moments is at i.
        self._moments = np.concatenate(([_NEVER], moments))
        self._first, self._end = borders[:-1], borders[1:]
        longest = int((self._end - self._first).max(initial=0))
        self._strides = [1 << bit for bit in reversed(range(longest.bit_length()))]
        n = len(codes)
        self._happened = np.full(n, _NEVER)
        self._known = np.full(n, _NEVER)
        self._places = np.full(n, NOWHERE)
        self._equals = np.zeros(n, np.int32)

    def add(self, codes: Words, happened: Words, known: Words, places: Words) -> None:
        """Take rows: the numbers of their keys, when each happened and became known, and where each is."""
        pieces = [slice(start, start + _AT_ONCE) for start in range(0, len(codes), _AT_ONCE)]
        # The search for one piece runs beside the comparison of the one before it.
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="features") as beside:
            landings = beside.map(
                lambda which: self._first_not_before(codes[which], np.maximum(happened[which], known[which])),
                pieces,
            )
            for which, (landed, rows) in zip(pieces, landings, strict=True):
                self._compare(landed, rows, happened[which], known[which], places[which])

    def finish(self) -> Chosen:
        """Return the answers."""
        best = np.arange(len(self._codes))
        # After each turn an entity knows the best of twice as many before it.
        stride = 1
        while self._strides and stride <= self._strides[0]:
            here, before = best[stride:], best[:-stride]
            # What landed later became known later, so it wins when both happened together.
            is_better = (self._codes[stride:] == self._codes[:-stride]) & (
                self._happened[before] > self._happened[here]
            )
            best = np.concatenate((best[:stride], np.where(is_better, before, here)))
            stride *= 2
        return Chosen(
            self._places[best],
            self._happened[best],
            self._known[best],
            best,
            self._equals[best] > 1,
        )

    def _compare(self, landed: Words, rows: Words, happened: Words, known: Words, places: Words) -> None:
        landed, rows, is_new = self._keep_best(self._happened, landed, rows, happened)
        self._known[landed[is_new]] = _NEVER
        landed, rows, is_new = self._keep_best(self._known, landed, rows, known)
        self._equals[landed[is_new]] = 0
        np.add.at(self._equals, landed, 1)
        self._places[landed] = places[rows]

    def _first_not_before(self, codes: Words, usable: Words) -> tuple[Words, Words]:
        """Return at which entities rows land, and which rows land anywhere."""
        at, end = self._first[codes], self._end[codes]
        for stride in self._strides:
            ahead = at + stride
            is_before = self._moments.take(ahead, mode="clip") < usable
            is_before &= ahead <= end
            np.copyto(at, ahead, where=is_before)
        rows = np.flatnonzero(at < end)
        return at[rows], rows

    @staticmethod
    def _keep_best(best: Words, landed: Words, rows: Words, values: Words) -> tuple[Words, Words, Any]:
        """Raise the best values; return what is left of the rows, those that have them, and which raised one."""
        given, before = values[rows], best[landed]
        is_good = given >= before
        landed, rows, given, before = landed[is_good], rows[is_good], given[is_good], before[is_good]
        np.maximum.at(best, landed, given)
        is_best = given == best[landed]
        return landed[is_best], rows[is_best], (given > before)[is_best]
