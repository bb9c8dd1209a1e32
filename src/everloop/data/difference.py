"""Which rows two tables do not share, by the hashes of their rows, in bounded memory.

Both sides are walked together first: runs of equal rows cancel, and small gaps, insertions and replacements are stepped over.
That leaves the edited rows when a file was edited and kept its order. What is left is sorted, in buckets on the disk when it
is much. Tests: tests/unit/data/test_difference.py.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from everloop.data.records import Tally
from everloop.data.rows import RowHashes, tally

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    Places = npt.NDArray[np.int64]
    Mask = npt.NDArray[np.bool_]

# Rows of both sides together that one bucket holds; 24 bytes a row, and twice that while it is sorted.
_BUCKET_ROWS = 8_000_000
_STEP = 1 << 20
# Rows compared at once while both sides agree, growing from the first figure to the second.
_SHORTEST, _LONGEST = 256, 65_536
# How far ahead is looked for agreement after a difference, and how often in a step all of it is searched.
_NEAR = 16
_SEARCHES = 64


class Located(NamedTuple):
    """Hashes of rows, and where each row is: numbers that mean something to the caller."""

    hashes: RowHashes
    places: Places

    def take(self, which: Mask | slice) -> Located:
        """Return some of the rows."""
        return Located(self.hashes.take(which), self.places[which])


class Difference(NamedTuple):
    """Places, ascending, of the rows of the old side that the new has not, and the reverse; both counted with their hashes."""

    removed: Places
    added: Places
    removed_tally: Tally
    added_tally: Tally


def difference(old: Iterable[Located], new: Iterable[Located], *, rows: int) -> Difference:
    """Return which rows two sequences do not share; a row that is there twice must be there twice on both sides.

    Args:
        old: the rows of one side, in order, in pieces.
        new: those of the other.
        rows: about how many there are on both sides together.
    """
    with ExitStack() as stack:
        count = max(1, -(-rows // _BUCKET_ROWS))
        left = stack.enter_context(_Buckets(count))
        right = stack.enter_context(_Buckets(count))
        _cancel(_Feed(old), _Feed(new), left, right)
        found = [_of_bucket(left.read(at), right.read(at)) for at in range(count)]
    return Difference(
        np.sort(np.concatenate([one.removed for one in found])),
        np.sort(np.concatenate([one.added for one in found])),
        sum((one.removed_tally for one in found), Tally()),
        sum((one.added_tally for one in found), Tally()),
    )


def surplus(old: RowHashes, new: RowHashes) -> tuple[Mask, Mask]:
    """Return which rows of each side the other has not, counting rows that are there several times."""
    one, other = _Runs(old), _Runs(new)
    if not len(one.values) or not len(other.values):
        return np.ones(len(old), bool), np.ones(len(new), bool)
    at = np.minimum(np.searchsorted(other.values, one.values), len(other.values) - 1)
    is_shared = other.values[at] == one.values
    if not (one.is_pure and other.is_pure and (other.second[at] == one.second)[is_shared].all()):
        return surplus(*_ranked(old, new))
    shared = np.where(is_shared, np.minimum(one.counts, other.counts[at]), 0)
    shared_other = np.zeros(len(other.values), np.int64)
    shared_other[at[is_shared]] = shared[is_shared]
    return one.beyond(shared), other.beyond(shared_other)


class _Runs:
    """The rows of a side in the order of their first lane, cut into runs of equal ones."""

    def __init__(self, hashes: RowHashes) -> None:
        self._order = np.argsort(hashes.a)
        lane = hashes.a[self._order]
        is_start = np.ones(len(lane), bool)
        np.not_equal(lane[1:], lane[:-1], out=is_start[1:])
        self._starts = np.flatnonzero(is_start)
        self.counts = np.diff(self._starts, append=len(lane))
        self.values = lane[self._starts]
        second = hashes.b[self._order]
        self.second = second[self._starts]
        # False when two different rows have the same first lane, which 64 bits allow once in a long while.
        self.is_pure = len(self.values) == len(lane) or bool(
            (second == np.repeat(self.second, self.counts)).all()
        )

    def beyond(self, shared: npt.NDArray[np.int64]) -> Mask:
        """Return which rows come after the first `shared` ones of their run."""
        occurrence = np.arange(len(self._order)) - np.repeat(self._starts, self.counts)
        mask = np.empty(len(self._order), bool)
        mask[self._order] = occurrence >= np.repeat(shared, self.counts)
        return mask


def _ranked(old: RowHashes, new: RowHashes) -> tuple[RowHashes, RowHashes]:
    """Replace both lanes by one number for each different pair."""
    pairs = np.column_stack((np.concatenate((old.a, new.a)), np.concatenate((old.b, new.b))))
    _, ranks = np.unique(pairs, axis=0, return_inverse=True)
    lane = ranks.reshape(-1).astype(np.uint64)
    return RowHashes(lane[: len(old)], lane[: len(old)]), RowHashes(lane[len(old) :], lane[len(old) :])


class _Feed:
    """A sequence of rows that can be looked at a step ahead."""

    def __init__(self, pieces: Iterable[Located]) -> None:
        self._pieces = iter(pieces)
        self.rows = _NOTHING

    def fill(self) -> None:
        """Hold a step of rows, or all that are left."""
        held, count = [self.rows], len(self.rows.places)
        while count < _STEP and (piece := next(self._pieces, None)) is not None:
            held.append(piece)
            count += len(piece.places)
        self.rows = _joined(held)

    def drop(self, count: int) -> None:
        """Go on after so many rows."""
        self.rows = self.rows.take(slice(count, None))


def _cancel(old: _Feed, new: _Feed, left: _Buckets, right: _Buckets) -> None:
    """Walk both sides together and put into the buckets what does not cancel."""
    while True:
        old.fill()
        new.fill()
        walk = _Walk(old.rows.hashes.a, new.rows.hashes.a)
        walk.run()
        for feed, bucket, end, mask in ((old, left, walk.i, walk.old), (new, right, walk.j, walk.new)):
            bucket.add(feed.rows.take(slice(0, end)).take(mask[:end]))
            feed.drop(end)
        if not walk.i and not walk.j:
            # One side is at its end: nothing cancels any more.
            break
    for feed, bucket in ((old, left), (new, right)):
        while len(feed.rows.places):
            bucket.add(feed.rows)
            feed.drop(len(feed.rows.places))
            feed.fill()


class _Walk:
    """One step of both sides side by side.

    Attributes:
        i, j: how far each side was walked.
        old, new: which rows found no partner.
    """

    def __init__(self, x: npt.NDArray[np.uint64], y: npt.NDArray[np.uint64]) -> None:
        self._x, self._y = x, y
        self.i = self.j = 0
        self.old = np.zeros(len(x), bool)
        self.new = np.zeros(len(y), bool)
        self._searches = _SEARCHES

    def run(self) -> None:
        """Walk until one side ends."""
        size = _LONGEST
        while self.i < len(self._x) and self.j < len(self._y):
            n = min(size, len(self._x) - self.i, len(self._y) - self.j)
            differs = self._x[self.i : self.i + n] != self._y[self.j : self.j + n]
            agrees = np.flatnonzero(~differs)
            # Up to the last place where both agree, what differs was replaced.
            end = int(agrees[-1]) + 1 if len(agrees) else 0
            self.old[self.i : self.i + end] = differs[:end]
            self.new[self.j : self.j + end] = differs[:end]
            self.i += end
            self.j += end
            if end and n - end < _NEAR:
                size = min(2 * size, _LONGEST)
            else:
                self._step_over()
                size = max(size // 2, _SHORTEST)

    def _step_over(self) -> None:
        """Find the nearest place where both sides agree again."""
        x = self._x[self.i : self.i + _NEAR].tolist()
        y = self._y[self.j : self.j + _NEAR].tolist()
        steps = [(at, at) for at, (one, other) in enumerate(zip(x, y, strict=False)) if one == other][:1]
        steps += [(x.index(y[0]), 0)] if y[0] in x else []
        steps += [(0, y.index(x[0]))] if x[0] in y else []
        self._leave(*(min(steps, key=sum) if steps else self._search(len(x), len(y))))

    def _search(self, near_x: int, near_y: int) -> tuple[int, int]:
        """Look for the next row of each side in all of the other; give up on a few rows when there is none."""
        if self._searches:
            self._searches -= 1
            far = np.flatnonzero(self._x[self.i :] == self._y[self.j])[:1]
            if len(far):
                return int(far[0]), 0
            far = np.flatnonzero(self._y[self.j :] == self._x[self.i])[:1]
            if len(far):
                return 0, int(far[0])
            return 1, 1
        return near_x, near_y

    def _leave(self, i: int, j: int) -> None:
        self.old[self.i : self.i + i] = True
        self.new[self.j : self.j + j] = True
        self.i += i
        self.j += j


def _joined(pieces: list[Located]) -> Located:
    lanes = (np.concatenate([piece.hashes[lane] for piece in pieces]) for lane in (0, 1))
    return Located(RowHashes(*lanes), np.concatenate([piece.places for piece in pieces]))


def _of_bucket(old: Located, new: Located) -> Difference:
    is_removed, is_added = surplus(old.hashes, new.hashes)
    return Difference(
        old.places[is_removed],
        new.places[is_added],
        tally(old.hashes.take(is_removed)),
        tally(new.hashes.take(is_added)),
    )


class _Buckets:
    """Rows set apart by their hashes, in memory when there is one bucket, else each in a file."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._held: list[Located] = [_NOTHING]
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Self:
        if self._count > 1:
            self._folder = tempfile.TemporaryDirectory(prefix="everloop-rows-", ignore_cleanup_errors=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    def add(self, rows: Located) -> None:
        """Take rows."""
        if self._folder is None:
            self._held.append(rows)
            return
        bucket = rows.hashes.b % np.uint64(self._count)
        for at in np.unique(bucket):
            one = rows.take(bucket == at)
            words = np.column_stack((one.hashes.a, one.hashes.b, one.places.view(np.uint64)))
            with self._file(int(at)).open("ab") as file:
                words.tofile(file)

    def read(self, at: int) -> Located:
        """Return the rows of a bucket."""
        if self._folder is None:
            return _joined(self._held)
        if not self._file(at).exists():
            return _NOTHING
        words = np.fromfile(self._file(at), np.uint64).reshape(-1, 3)
        a, b, places = (np.ascontiguousarray(words[:, column]) for column in range(3))
        return Located(RowHashes(a, b), places.view(np.int64))

    def _file(self, at: int) -> Path:
        return Path(self._folder.name if self._folder else "") / str(at)


_NOTHING = Located(RowHashes(np.empty(0, np.uint64), np.empty(0, np.uint64)), np.empty(0, np.int64))
