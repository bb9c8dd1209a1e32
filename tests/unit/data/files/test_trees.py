"""Trees are read in part, name what is missing, and keep shards that did not change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from everloop.core.digests import digest_bytes
from everloop.data.files.building import TreeBuilder
from everloop.data.files.content import open_content
from everloop.data.files.diff import diff_trees, edit_tree
from everloop.data.files.paths import NotPortableError, UnsafePathError, refuse_not_portable, refuse_unsafe
from everloop.data.files.records import Chunk, FileEntry, TreeReference
from everloop.data.files.rows import rows_of
from everloop.data.files.shards import UnreadableTreeError
from everloop.data.files.sink import ObjectSink
from everloop.data.files.tree import NoSuchFileError, Tree, list_paths, open_file

if TYPE_CHECKING:
    from everloop.kernel.objects import Objects
    from everloop.kernel.operations import Kernel


def entry(path: str, text: str = "") -> FileEntry:
    return FileEntry(path=path, digest=digest_bytes(text.encode()), size_bytes=len(text))


def build(entries: list[FileEntry], objects: Objects) -> TreeReference:
    with ObjectSink(objects) as sink:
        builder = TreeBuilder(sink.add)
        builder.add_rows(rows_of(entries))
        reference = builder.finish()
        sink.drain()
    return reference


def test_one_change_among_many_files_writes_one_shard(kernel: Kernel) -> None:
    many = [entry(f"{number // 100}/{number}.txt", str(number)) for number in range(20_000)]
    before = build(many, kernel.objects)
    after = edit_tree(before, {"7/777.txt": entry("7/777.txt", "new")}, kernel.objects)

    one, other = Tree(before, kernel.objects).shards, Tree(after, kernel.objects).shards
    assert len(one) > 10
    assert len(set(one) - set(other)) == 1
    assert (diff_trees(before, after, kernel.objects).changed, after.files) == (1, 20_000)


def test_a_folder_of_a_tree_is_listed_alone(kernel: Kernel) -> None:
    tree = build([entry("a/1"), entry("a/b/2"), entry("ab/3"), entry("a-/4"), entry("c")], kernel.objects)

    assert list(list_paths(tree, kernel.objects, folder="a")) == ["a/1", "a/b/2"]
    assert list(list_paths(tree, kernel.objects, folder="c")) == ["c"]
    assert list(list_paths(tree, kernel.objects, folder="nothing")) == []


def test_a_file_in_chunks_is_read_in_ranges(kernel: Kernel) -> None:
    pieces = [b"first-", b"second-", b"third"]
    chunks = tuple(Chunk(kernel.objects.put(piece), len(piece)) for piece in pieces)
    whole = b"".join(pieces)
    file = FileEntry(path="big", digest=digest_bytes(whole), size_bytes=len(whole), chunks=chunks)
    tree = build([file], kernel.objects)

    with open_file(tree, "big", kernel.objects) as content:
        assert content.read() == whole
        content.seek(4)
        assert content.read(6) == whole[4:10]
    assert open_content(file, kernel.objects).seek(0, 2) == len(whole)


def test_a_file_or_tree_that_is_not_there_is_named(kernel: Kernel) -> None:
    tree = build([entry("a")], kernel.objects)
    other = kernel.objects.put(b"no tree")

    with pytest.raises(NoSuchFileError, match="no file 'b'"):
        Tree(tree, kernel.objects).entry("b")
    wrong = TreeReference(digest=tree.digest, manifest=other, files=1, size_bytes=0)
    with pytest.raises(UnreadableTreeError, match="cannot be read"):
        list(list_paths(wrong, kernel.objects))


def test_a_renamed_file_is_told_from_one_that_was_added(kernel: Kernel) -> None:
    old = build([entry("a", "same"), entry("b", "gone")], kernel.objects)
    new = build([entry("z", "same"), entry("c", "come")], kernel.objects)

    found = diff_trees(old, new, kernel.objects)

    assert (found.renamed, found.added, found.removed) == (1, 1, 1)
    renamed = next(change for change in found.changes if change.kind == "renamed")
    assert renamed.old is not None
    assert (renamed.path, renamed.old.path) == ("z", "a")


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../x",
        "a/../../x",
        "a//b",
        "C:/x",
        ".git/hooks/x",
        "a/.GIT/x",
        "a\0b",
        "",
        ".g\u200cit/x",
    ],
)
def test_a_path_that_leaves_its_folder_or_plants_something_is_refused(path: str) -> None:
    with pytest.raises(UnsafePathError):
        refuse_unsafe([path], on_windows=False)


def test_names_that_other_systems_cannot_hold_are_refused_on_request() -> None:
    refuse_unsafe(["a b/c.txt", "ä/ö"], on_windows=False)
    with pytest.raises(NotPortableError, match="differ only by case"):
        refuse_not_portable(["Readme", "README"])
    with pytest.raises(NotPortableError, match="no name on Windows"):
        refuse_not_portable(["a/con.txt"])
