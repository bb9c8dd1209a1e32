"""A tree is what its files are, however it was made; differences and merges are those of plain dicts."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.data.files import shards
from everloop.data.files.building import TreeBuilder
from everloop.data.files.diff import apply_changes, diff_trees, edit_tree, iter_changes
from everloop.data.files.merge import merge_trees
from everloop.data.files.records import FileEntry, TreeReference
from everloop.data.files.rows import rows_of
from everloop.data.files.sink import ObjectSink
from everloop.data.files.tree import Tree, read_tree, tree_objects
from everloop.kernel.runtime import open_kernel
from everloop.kernel.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from everloop.kernel.objects import Objects

# Files in folders of two levels; none is a folder too.
paths = st.builds("{}/{}.bin".format, st.integers(0, 9), st.integers(0, 30))
trees = st.dictionaries(paths, st.tuples(st.binary(max_size=3), st.booleans()), max_size=40)
Files = dict[str, tuple[bytes, bool]]


@contextmanager
def store() -> Iterator[Objects]:
    """Open an object store, with shards of a few files instead of a thousand."""
    usual = shards._ONE_IN
    shards._ONE_IN = 6
    with tempfile.TemporaryDirectory() as name:
        kernel = open_kernel(Settings(home=Path(name)))
        try:
            yield kernel.objects
        finally:
            shards._ONE_IN = usual
            kernel.close()


def entries(files: Files, objects: Objects) -> dict[str, FileEntry]:
    return {
        path: FileEntry(path=path, digest=objects.put(content), size_bytes=len(content), is_executable=runs)
        for path, (content, runs) in files.items()
    }


def build(files: Files, objects: Objects) -> TreeReference:
    with ObjectSink(objects) as sink:
        builder = TreeBuilder(sink.add)
        builder.add_rows(rows_of(entries(files, objects).values()))
        reference = builder.finish()
        sink.drain()
    return reference


def files_of(reference: TreeReference, objects: Objects) -> Files:
    tree = Tree(reference, objects)
    return {
        entry.path: (tree.open(entry.path).read(), entry.is_executable)
        for entry in read_tree(reference, objects)
    }


@settings(deadline=None, max_examples=40)
@given(trees, trees)
def test_editing_one_tree_into_another_gives_its_digest(one: Files, other: Files) -> None:
    with store() as objects:
        start, goal = build(one, objects), build(other, objects)
        wanted: dict[str, FileEntry | None] = dict.fromkeys(one)
        wanted.update(entries(other, objects))

        edited = edit_tree(start, wanted, objects)

        assert (edited.digest, edited.files) == (goal.digest, len(other))
        assert files_of(edited, objects) == other == files_of(goal, objects)
        assert (start.digest == goal.digest) == (one == other)
        assert objects.missing(tree_objects([edited, goal], objects)) == set()


@settings(deadline=None, max_examples=40)
@given(trees, trees)
def test_a_difference_is_that_of_dicts_and_can_be_applied(one: Files, other: Files) -> None:
    with store() as objects:
        old, new = build(one, objects), build(other, objects)

        found = diff_trees(old, new, objects)

        shared = one.keys() & other.keys()
        assert found.unchanged == sum(one[path] == other[path] for path in shared)
        assert found.changed == sum(one[path] != other[path] for path in shared)
        assert found.added + found.renamed == len(other.keys() - one.keys())
        assert found.removed + found.renamed == len(one.keys() - other.keys())
        assert apply_changes(old, found.changes, objects).digest == new.digest
        assert apply_changes(old, iter_changes(old, new, objects), objects).digest == new.digest
        assert diff_trees(old, old, objects).is_empty


@settings(deadline=None, max_examples=40)
@given(trees, trees, trees)
def test_a_merge_is_that_of_three_dicts(base: Files, ours: Files, theirs: Files) -> None:
    with store() as objects:
        references = [build(files, objects) for files in (base, ours, theirs)]
        changed = {path for path in base.keys() | theirs.keys() if base.get(path) != theirs.get(path)}
        mine = {path for path in base.keys() | ours.keys() if base.get(path) != ours.get(path)}
        both = {path for path in changed & mine if ours.get(path) != theirs.get(path)}
        expected = {path: ours.get(path) for path in ours}
        expected.update({path: theirs.get(path) for path in changed - mine})

        refused = merge_trees(references[0], references[1], references[2], objects)
        settled = merge_trees(references[0], references[1], references[2], objects, resolution="ours")

        assert {conflict.path for conflict in refused.conflicts} == both
        assert (refused.reference is None) == bool(both)
        assert settled.reference is not None
        assert files_of(settled.reference, objects) == {p: f for p, f in expected.items() if f is not None}
