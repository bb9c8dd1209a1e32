"""Frozen values of datasets of files: trees, entries, what differs, what conflicts.

Tests: tests/unit/data/files/test_trees.py, tests/property/test_trees.py.
"""

from __future__ import annotations

from typing import Literal

import msgspec

ChangeKind = Literal["added", "removed", "changed", "renamed"]
ConflictKind = Literal["both_changed", "changed_and_removed", "removed_and_changed", "file_and_folder"]


class Chunk(msgspec.Struct, frozen=True, array_like=True):
    """A piece of a large file; an object of its own."""

    digest: str
    size_bytes: int


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a tree.

    Attributes:
        path: relative to the folder, parts joined by `/`.
        digest: of the whole content, however it is stored.
        chunks: the pieces of a large file in order; empty when the content is one object.
    """

    path: str
    digest: str
    size_bytes: int
    is_executable: bool = False
    chunks: tuple[Chunk, ...] = ()

    @property
    def content(self) -> tuple[str, bool]:
        """Return what makes two files the same: the bytes and the executable bit."""
        return self.digest, self.is_executable


class TreeReference(msgspec.Struct, frozen=True, kw_only=True):
    """A stored tree of files; with an object store it can be read, compared and checked out.

    Attributes:
        digest: of paths, contents and executable bits; the same for the same files, however they were stored.
        manifest: the object that lists the shards.
        files: how many there are.
        size_bytes: of all contents.
        stored_bytes: what the operation that returned this added to the store.
    """

    digest: str
    manifest: str
    files: int
    size_bytes: int
    stored_bytes: int = 0


class FileChange(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to one file; `old` is None when it was added, `new` when it was removed.

    A file that was renamed stands under its new path, and `old` has the former one.
    """

    kind: ChangeKind
    path: str
    old: FileEntry | None = None
    new: FileEntry | None = None


class TreeDiff(msgspec.Struct, frozen=True, kw_only=True):
    """What differs between two trees.

    Attributes:
        added, removed, changed, renamed, unchanged: numbers of files; a renamed file is in none of the others.
        added_bytes: contents of the files that were added or changed, as they are now.
        removed_bytes: contents of the files that were removed or changed, as they were.
        changes: the first changes by path, no more than were asked for.
    """

    added: int
    removed: int
    changed: int
    renamed: int
    unchanged: int
    added_bytes: int
    removed_bytes: int
    changes: list[FileChange]

    @property
    def is_empty(self) -> bool:
        """Return whether both trees have the same files."""
        return not (self.added or self.removed or self.changed or self.renamed)


class Conflict(msgspec.Struct, frozen=True, kw_only=True):
    """A path that both sides of a merge changed, each in its own way; None where there is no file."""

    kind: ConflictKind
    path: str
    ancestor: FileEntry | None
    ours: FileEntry | None
    theirs: FileEntry | None


class TreeMerge(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a merge.

    Attributes:
        reference: the merged tree; None while there are conflicts that no resolution settles.
        conflicts: all of them, settled or not, by path.
        taken: how many changes of theirs went into ours; `removed` of them took a file away.
        borrowed: the objects that hold the files taken; the commit must keep them.
    """

    reference: TreeReference | None
    conflicts: list[Conflict]
    taken: int
    removed: int
    borrowed: list[str]


class ChangedOriginalFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a version that was added by a link and can no longer be read, because the file it lies in is another now.

    Attributes:
        path: in the version.
        original: where its bytes were left.
    """

    path: str
    original: str
    reason: Literal["changed", "gone"]


class FolderStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How a folder differs from a tree.

    Attributes:
        added: files that the tree does not have.
        modified: files with other bytes or another executable bit.
        deleted: files of the tree that are not in the folder.
        unchanged: how many are as in the tree.
        changed_originals: files of the tree that lie outside the store, by a link, and changed there since, wherever the folder is.
    """

    added: list[str]
    modified: list[str]
    deleted: list[str]
    unchanged: int
    changed_originals: list[ChangedOriginalFile] = []

    @property
    def is_clean(self) -> bool:
        """Return whether the folder holds exactly the tree."""
        return not (self.added or self.modified or self.deleted)


class Checkout(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkout did to a folder."""

    written: int
    unchanged: int
    written_bytes: int
