"""Three-way merge of trees, path by path.

What only one side changed is taken; what both changed alike is no conflict; the rest is reported, and settled for one side if asked.
A merge never leaves a path that is a file and a folder at once. Tests: tests/unit/data/files/test_trees.py,
tests/property/test_trees.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from everloop.data.files.diff import edit_tree, iter_changes
from everloop.data.files.records import Conflict, TreeMerge
from everloop.data.files.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from everloop.data.files.records import ConflictKind, FileChange, FileEntry, TreeReference
    from everloop.kernel.objects import Objects

Resolution = Literal["ours", "theirs"]


def merge_trees(
    ancestor: TreeReference,
    ours: TreeReference,
    theirs: TreeReference,
    objects: Objects,
    *,
    resolution: Resolution | None = None,
) -> TreeMerge:
    """Merge the changes from `ancestor` to `theirs` into `ours`.

    Args:
        ancestor: the tree that both come from.
        ours: the tree merged into.
        theirs: the tree merged from.
        objects: where they are.
        resolution: whose side settles conflicts; by default nobody's, and the result has no tree if there are any.
    """
    updates: dict[str, FileEntry | None] = {}
    conflicts: list[Conflict] = []
    for mine, other in _paired(
        iter_changes(ancestor, ours, objects), iter_changes(ancestor, theirs, objects)
    ):
        if other is None or (mine is not None and _content(mine.new) == _content(other.new)):
            continue
        if mine is not None:
            conflicts.append(_conflict(mine, other))
        if mine is None or resolution == "theirs":
            updates[other.path] = other.new
    conflicts += _separate(updates, Tree(ours, objects), resolution)
    conflicts.sort(key=lambda conflict: conflict.path)
    is_settled = not conflicts or resolution is not None
    return TreeMerge(
        reference=edit_tree(ours, updates, objects) if is_settled else None,
        conflicts=conflicts,
        taken=len(updates),
        removed=sum(entry is None for entry in updates.values()),
        borrowed=[name for entry in updates.values() if entry is not None for name in _objects(entry)],
    )


def _objects(entry: FileEntry) -> list[str]:
    return [chunk.digest for chunk in entry.chunks] or [entry.digest]


def _paired(
    ours: Iterator[FileChange], theirs: Iterator[FileChange]
) -> Iterator[tuple[FileChange | None, FileChange | None]]:
    """Walk two streams ordered by path; yield what happened to each path on either side."""
    mine, other = next(ours, None), next(theirs, None)
    while mine is not None or other is not None:
        if other is None or (mine is not None and mine.path < other.path):
            yield mine, None
            mine = next(ours, None)
        elif mine is None or other.path < mine.path:
            yield None, other
            other = next(theirs, None)
        else:
            yield mine, other
            mine, other = next(ours, None), next(theirs, None)


def _conflict(mine: FileChange, other: FileChange) -> Conflict:
    kind: ConflictKind = "both_changed"
    if other.new is None:
        kind = "changed_and_removed"
    elif mine.new is None:
        kind = "removed_and_changed"
    return Conflict(kind=kind, path=mine.path, ancestor=mine.old, ours=mine.new, theirs=other.new)


def _content(entry: FileEntry | None) -> tuple[str, bool] | None:
    return None if entry is None else entry.content


def _separate(
    updates: dict[str, FileEntry | None], ours: Tree, resolution: Resolution | None
) -> list[Conflict]:
    """Find paths that would be a file on one side and a folder on the other; settle them in `updates`."""
    conflicts = []
    added = [(path, entry) for path, entry in updates.items() if entry is not None and path not in ours]
    for path, entry in added:
        in_the_way = [*_files_above(path, ours, updates), *_files_below(path, ours, updates)]
        if not in_the_way:
            continue
        conflicts.append(
            Conflict(kind="file_and_folder", path=path, ancestor=None, ours=in_the_way[0], theirs=entry)
        )
        if resolution == "theirs":
            updates.update((mine.path, None) for mine in in_the_way)
        else:
            del updates[path]
    return conflicts


def _files_above(path: str, ours: Tree, updates: dict[str, FileEntry | None]) -> Iterator[FileEntry]:
    """Yield the files of ours that stand where `path` needs a folder."""
    folder = path.rpartition("/")[0]
    while folder:
        entry = ours.find(folder) if updates.get(folder, True) is not None else None
        if entry is not None:
            yield entry
        folder = folder.rpartition("/")[0]


def _files_below(path: str, ours: Tree, updates: dict[str, FileEntry | None]) -> Iterator[FileEntry]:
    """Yield the files of ours that stand in a folder where `path` is a file."""
    for rows in ours.below(path):
        for entry in rows.entries():
            if entry.path != path and updates.get(entry.path, True) is not None:
                yield entry
