"""Trees: a manifest that lists shards, read shard by shard.

The digest of a tree is that of its shards' contents in order, so it depends on the files alone. Reading is lazy: a path is found by
one shard, a listing holds a few dozen shards at a time. Tests: tests/unit/data/files/test_trees.py,
tests/property/test_trees.py.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import msgspec

from everloop.core.digests import Digest, digest_bytes
from everloop.core.errors import NotFoundError
from everloop.data.files.content import open_content
from everloop.data.files.records import TreeReference
from everloop.data.files.shards import decode, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from io import BufferedReader

    from everloop.data.files.records import FileEntry
    from everloop.data.files.rows import Rows
    from everloop.kernel.objects import Objects

_VERSION = 1
_TAG = b"everloop tree 1\n"
# Shards fetched together: a few megabytes, and few enough calls that a look-up of each place does not count.
_TOGETHER = 64


class NoSuchFileError(NotFoundError):
    """The tree has no file of this path."""

    code = "files.no-such-file"


class Shard(msgspec.Struct, frozen=True, array_like=True):
    """One shard in a manifest: its first path, the names of its content and of its object, and what it sums to."""

    first: str
    content: bytes
    stored: bytes
    files: int
    size_bytes: int

    @property
    def digest(self) -> Digest:
        """Return the name of the shard's object."""
        return Digest(f"b3:{self.stored.hex()}")


class Manifest(msgspec.Struct, frozen=True, array_like=True):
    """The shards of a tree in the order of their paths."""

    version: int
    shards: list[Shard]

    def reference(self, stored_bytes: int = 0) -> TreeReference:
        """Return the reference of the tree."""
        return TreeReference(
            digest=digest_bytes(_TAG + b"".join(shard.content for shard in self.shards)),
            manifest=digest_bytes(self.encode()),
            files=sum(shard.files for shard in self.shards),
            size_bytes=sum(shard.size_bytes for shard in self.shards),
            stored_bytes=stored_bytes,
        )

    def encode(self) -> bytes:
        """Return the object of the manifest."""
        return msgspec.msgpack.encode(self)


class Tree:
    """A stored tree, opened for reading. Threads may share it."""

    def __init__(self, reference: TreeReference, objects: Objects) -> None:
        self.reference = reference
        self._objects = objects
        self._rows = lru_cache(maxsize=8)(self.rows)

    @cached_property
    def shards(self) -> list[Shard]:
        """Return the shards in order.

        Raises:
            ObjectNotFoundError: the tree is not in this store.
            UnreadableTreeError: the object is no manifest.
        """
        content = self._objects.get(Digest(self.reference.manifest))
        try:
            manifest = msgspec.msgpack.decode(content, type=Manifest)
        except msgspec.DecodeError as error:
            raise unreadable(self.reference, str(error)) from error
        if manifest.version != _VERSION:
            raise unreadable(self.reference, f"it has form {manifest.version}")
        return manifest.shards

    def rows(self, shard: Shard) -> Rows:
        """Return the files of one shard."""
        return decode(self._objects.get(shard.digest), self.reference)

    def pieces(self, shards: Sequence[Shard] | None = None) -> Iterator[Rows]:
        """Yield the files shard by shard, of some shards or of all, in order; only a few are in memory."""
        wanted = self.shards if shards is None else shards
        for start in range(0, len(wanted), _TOGETHER):
            together = wanted[start : start + _TOGETHER]
            fetched = dict(self._objects.get_many(shard.digest for shard in together))
            for shard in together:
                yield decode(fetched[shard.digest], self.reference)

    def below(self, folder: str = "") -> Iterator[Rows]:
        """Yield the files of a folder of the tree, or the one file of this path; nothing when there is neither."""
        path = folder.strip("/")
        if not path:
            yield from self.pieces()
            return
        if path in self:
            yield self._cut(path, path + "\0")
        first, end = path + "/", path + "0"  # "0" follows "/"
        for shard in self._between(first, end):
            rows = self._rows(shard)
            start, stop = bisect_left(rows.paths, first), bisect_left(rows.paths, end)
            if start < stop:
                yield rows.cut(start, stop)

    def entry(self, path: str) -> FileEntry:
        """Return one file.

        Raises:
            NoSuchFileError: there is none of this path.
        """
        found = self.find(path)
        if found is None:
            raise NoSuchFileError(
                f"the tree {self.reference.digest[:11]} has no file {path!r}. List what it has, "
                "and write folders with `/`.",
                subject=path,
            )
        return found

    def find(self, path: str) -> FileEntry | None:
        """Return one file, or None when there is none of this path."""
        at = bisect_right(self.shards, path, key=lambda shard: shard.first) - 1
        if at < 0:
            return None
        rows = self._rows(self.shards[at])
        row = bisect_left(rows.paths, path)
        return rows.entry(row) if row < len(rows.paths) and rows.paths[row] == path else None

    def __contains__(self, path: str) -> bool:
        """Return whether there is a file of this path."""
        return self.find(path) is not None

    def open(self, path: str) -> BufferedReader:
        """Open a file for reading; only the ranges that are read are fetched.

        Raises:
            NoSuchFileError: there is none of this path.
        """
        return open_content(self.entry(path), self._objects)

    def _cut(self, first: str, end: str) -> Rows:
        [shard] = self._between(first, end)[:1]
        rows = self._rows(shard)
        return rows.cut(bisect_left(rows.paths, first), bisect_left(rows.paths, end))

    def _between(self, first: str, end: str) -> Sequence[Shard]:
        """Return the shards that may hold paths from `first` to before `end`."""
        start = bisect_right(self.shards, first, key=lambda shard: shard.first) - 1
        stop = bisect_left(self.shards, end, key=lambda shard: shard.first)
        return self.shards[max(start, 0) : stop]


def read_tree(reference: TreeReference, objects: Objects, *, folder: str = "") -> Iterator[FileEntry]:
    """Yield the files of a tree in the order of their paths, or those below one of its folders."""
    for rows in Tree(reference, objects).below(folder):
        yield from rows.entries()


def list_paths(reference: TreeReference, objects: Objects, *, folder: str = "") -> Iterator[str]:
    """Yield the paths of a tree in order, or those below one of its folders."""
    for rows in Tree(reference, objects).below(folder):
        yield from rows.paths


def open_file(reference: TreeReference, path: str, objects: Objects) -> BufferedReader:
    """Open one file of a tree for reading; see `Tree.open`."""
    return Tree(reference, objects).open(path)


def tree_objects(references: Iterable[TreeReference], objects: Objects) -> Iterator[Digest]:
    """Yield the digest of every object that trees need: manifests, shards, contents, chunks.

    A shard that several trees share is read once; a content may come more than once.
    """
    read: set[bytes] = set()
    for reference in references:
        tree = Tree(reference, objects)
        yield Digest(reference.manifest)
        fresh = [shard for shard in tree.shards if shard.stored not in read]
        read.update(shard.stored for shard in fresh)
        yield from (shard.digest for shard in fresh)
        for rows in tree.pieces(fresh):
            yield from content_objects(rows)


def content_objects(rows: Rows) -> Iterator[Digest]:
    """Yield the objects that hold the contents of files."""
    names = rows.names()
    if not rows.chunks:
        yield from names
        return
    for row, name in enumerate(names):
        chunks = rows.chunks.get(row)
        if chunks is None:
            yield name
        else:
            yield from (Digest(chunk.digest) for chunk in chunks.records())
