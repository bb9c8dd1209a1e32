"""What differs between two trees: shards of equal content are passed over unread, the others compared as columns.

Because a path begins a shard in every tree that has it or in none, two trees fall apart into ranges of paths that begin alike; only a
few shards are in memory at a time. Tests: tests/unit/data/files/test_trees.py,
tests/property/test_trees.py.
"""

from __future__ import annotations

from collections import defaultdict
from heapq import merge
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from everloop.data.files.building import TreeBuilder
from everloop.data.files.records import FileChange, FileEntry, TreeDiff, TreeReference
from everloop.data.files.rows import Rows, join, rows_of
from everloop.data.files.sink import ObjectSink
from everloop.data.files.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from everloop.data.files.tree import Shard
    from everloop.kernel.objects import Objects

# Shards of either tree that are read together.
_TOGETHER = 32


class Compared(NamedTuple):
    """A range of paths of two trees, and the rows in which they differ.

    Attributes:
        old, new: the rows of the range.
        removed: rows of `old` whose path `new` does not have.
        added: rows of `new` whose path `old` does not have.
        changed: (n, 2) rows of `old` and of `new` with the same path and other content.
        unchanged: how many are the same.
    """

    old: Rows
    new: Rows
    removed: NDArray[np.int64]
    added: NDArray[np.int64]
    changed: NDArray[np.int64]
    unchanged: int


def diff_trees(old: TreeReference, new: TreeReference, objects: Objects, *, limit: int = 1_000) -> TreeDiff:
    """Return what differs between two trees.

    A file that was removed under one path and added under another with the same, not empty, content counts as renamed.

    Args:
        old: the tree before.
        new: the tree after.
        objects: where they are.
        limit: list no more changes than this; `iter_changes` yields all of them.
    """
    totals = _Totals()
    for part in compare(Tree(old, objects), Tree(new, objects)):
        totals.count(part)
    renames = totals.renames()
    changes = iter_changes(old, new, objects)
    return TreeDiff(
        added=totals.added - len(renames),
        removed=totals.removed - len(renames),
        changed=totals.changed,
        renamed=len(renames),
        unchanged=totals.unchanged,
        added_bytes=totals.added_bytes,
        removed_bytes=totals.removed_bytes,
        changes=list(islice(_with_renames(changes, renames, Tree(old, objects)), limit)),
    )


def iter_changes(old: TreeReference, new: TreeReference, objects: Objects) -> Iterator[FileChange]:
    """Yield every difference by path; a renamed file is yielded as removed and as added."""
    for part in compare(Tree(old, objects), Tree(new, objects)):
        removed = [_removed(part.old.entry(row)) for row in part.removed.tolist()]
        added = [_added(part.new.entry(row)) for row in part.added.tolist()]
        changed = [
            _changed(part.old.entry(before), part.new.entry(after)) for before, after in part.changed.tolist()
        ]
        yield from merge(removed, added, changed, key=attrgetter("path"))


def apply_changes(reference: TreeReference, changes: Iterable[FileChange], objects: Objects) -> TreeReference:
    """Return the tree that has these changes made, whatever it had under their paths before."""
    updates: dict[str, FileEntry | None] = {}
    for change in changes:
        if change.kind == "renamed" and change.old is not None:
            updates[change.old.path] = None
        updates[change.path] = change.new
    return edit_tree(reference, updates, objects)


def edit_tree(
    reference: TreeReference, updates: Mapping[str, FileEntry | None], objects: Objects
) -> TreeReference:
    """Return the tree with other files under some paths; None removes a file. Shards without any are not read."""
    tree = Tree(reference, objects)
    paths = sorted(updates)
    with ObjectSink(objects) as sink:
        builder = TreeBuilder(sink.add)
        at = 0
        for number, shard in enumerate(tree.shards):
            is_last = number + 1 == len(tree.shards)
            end = len(paths) if is_last else _before(paths, tree.shards[number + 1].first, at)
            _add_edited(builder, tree, shard, {path: updates[path] for path in paths[at:end]})
            at = end
        builder.add_rows(rows_of(entry for path in paths[at:] if (entry := updates[path]) is not None))
        made = builder.finish()
        sink.drain()
    return TreeReference(
        digest=made.digest,
        manifest=made.manifest,
        files=made.files,
        size_bytes=made.size_bytes,
        stored_bytes=sink.stored_bytes,
    )


def compare(old: Tree, new: Tree) -> Iterator[Compared]:
    """Yield ranges of paths in order; a range whose shards are the same in both is yielded unread, with empty rows."""
    waiting: list[tuple[Sequence[Shard], Sequence[Shard]]] = []
    for mine, theirs in _ranges(old.shards, new.shards):
        if mine and theirs and mine[0].content == theirs[0].content:
            yield _same(sum(shard.files for shard in mine))
            continue
        waiting.append((mine, theirs))
        if sum(len(a) + len(b) for a, b in waiting) >= _TOGETHER:
            yield from _compare_all(old, new, waiting)
            waiting = []
    yield from _compare_all(old, new, waiting)


class _Totals:
    """Numbers over all ranges, and what is needed to find renames."""

    def __init__(self) -> None:
        self.unchanged = self.changed = self.added = self.removed = 0
        self.added_bytes = self.removed_bytes = 0
        self._sides: tuple[list[tuple[list[str], NDArray[np.uint8]]], ...] = ([], [])

    def count(self, part: Compared) -> None:
        """Add one range."""
        before, after = part.changed[:, 0], part.changed[:, 1]
        self.unchanged += part.unchanged
        self.changed += len(part.changed)
        self.added += len(part.added)
        self.removed += len(part.removed)
        self.added_bytes += int(part.new.sizes[part.added].sum() + part.new.sizes[after].sum())
        self.removed_bytes += int(part.old.sizes[part.removed].sum() + part.old.sizes[before].sum())
        for side, rows, picked in ((0, part.old, part.removed), (1, part.new, part.added)):
            filled = picked[rows.sizes[picked] > 0]
            if len(filled):
                self._sides[side].append(([rows.paths[row] for row in filled], rows.digests[filled]))

    def renames(self) -> dict[str, str]:
        """Return the former path by the new one of each renamed file."""
        if not all(self._sides):
            return {}
        (gone, gone_digests), (come, come_digests) = map(_gather, self._sides)
        gone_keys, come_keys = _keys(gone_digests), _keys(come_digests)
        candidates: defaultdict[bytes, list[str]] = defaultdict(list)
        for row in reversed(np.flatnonzero(np.isin(gone_keys, come_keys)).tolist()):
            candidates[gone_digests[row].tobytes()].append(gone[row])
        renames = {}
        for row in np.flatnonzero(np.isin(come_keys, gone_keys)).tolist():
            former = candidates.get(come_digests[row].tobytes())
            if former:
                renames[come[row]] = former.pop()
        return renames


def _gather(side: list[tuple[list[str], NDArray[np.uint8]]]) -> tuple[list[str], NDArray[np.uint8]]:
    return [path for paths, _ in side for path in paths], np.concatenate([digests for _, digests in side])


def _keys(digests: NDArray[np.uint8]) -> NDArray[np.uint64]:
    return np.ascontiguousarray(digests[:, :8]).view(np.uint64).ravel()


def _with_renames(
    changes: Iterator[FileChange], renames: Mapping[str, str], old: Tree
) -> Iterator[FileChange]:
    former = set(renames.values())
    for change in changes:
        if change.kind == "added" and change.path in renames:
            before = old.entry(renames[change.path])
            yield FileChange(kind="renamed", path=change.path, old=before, new=change.new)
        elif change.kind != "removed" or change.path not in former:
            yield change


def _ranges(old: Sequence[Shard], new: Sequence[Shard]) -> Iterator[tuple[Sequence[Shard], Sequence[Shard]]]:
    """Yield the shards of both trees between two paths that begin a shard in both."""
    i = j = 0
    while i < len(old) or j < len(new):
        start_i, start_j = i, j
        while True:
            if j == len(new) or (i < len(old) and old[i].first < new[j].first):
                i += 1
            elif i == len(old) or new[j].first < old[i].first:
                j += 1
            else:
                i, j = i + 1, j + 1
            if (i == len(old) and j == len(new)) or (
                i < len(old) and j < len(new) and old[i].first == new[j].first
            ):
                break
        yield old[start_i:i], new[start_j:j]


def _compare_all(
    old: Tree, new: Tree, ranges: Sequence[tuple[Sequence[Shard], Sequence[Shard]]]
) -> Iterator[Compared]:
    before = old.pieces([shard for mine, _ in ranges for shard in mine])
    after = new.pieces([shard for _, theirs in ranges for shard in theirs])
    for mine, theirs in ranges:
        yield _compare_rows(join(list(islice(before, len(mine)))), join(list(islice(after, len(theirs)))))


def _compare_rows(old: Rows, new: Rows) -> Compared:
    if old.paths == new.paths:
        kept_old = kept_new = np.arange(len(old.paths))
        removed = added = np.empty(0, np.int64)
    else:
        removed, kept_old = _split(old.paths, set(new.paths))
        added, kept_new = _split(new.paths, set(old.paths))
    differs = (old.digests[kept_old] != new.digests[kept_new]).any(axis=1)
    differs |= old.modes[kept_old] != new.modes[kept_new]
    changed = np.column_stack((kept_old[differs], kept_new[differs]))
    return Compared(old, new, removed, added, changed, len(kept_old) - len(changed))


def _split(paths: Sequence[str], others: set[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows whose path is not among the others, and those whose path is."""
    is_among = np.fromiter(map(others.__contains__, paths), np.bool_, len(paths))
    return np.flatnonzero(~is_among), np.flatnonzero(is_among)


def _same(files: int) -> Compared:
    nothing = np.empty(0, np.int64)
    return Compared(rows_of([]), rows_of([]), nothing, nothing, np.empty((0, 2), np.int64), files)


def _before(paths: Sequence[str], end: str, start: int) -> int:
    at = start
    while at < len(paths) and paths[at] < end:
        at += 1
    return at


def _add_edited(
    builder: TreeBuilder, tree: Tree, shard: Shard, updates: Mapping[str, FileEntry | None]
) -> None:
    if not updates:
        builder.add_shard(shard, tree.rows)
        return
    rows = tree.rows(shard)
    _, kept = _split(rows.paths, set(rows.paths) - updates.keys())
    entries = rows_of(entry for entry in updates.values() if entry is not None)
    builder.add_rows(join([rows.take(kept), entries]).sorted())


def _removed(entry: FileEntry) -> FileChange:
    return FileChange(kind="removed", path=entry.path, old=entry)


def _added(entry: FileEntry) -> FileChange:
    return FileChange(kind="added", path=entry.path, new=entry)


def _changed(old: FileEntry, new: FileEntry) -> FileChange:
    return FileChange(kind="changed", path=new.path, old=old, new=new)
