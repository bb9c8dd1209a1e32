"""Build a tree from rows and from shards of other trees, in the order of their paths.

Whole shards are taken over without reading them, unless a path that began one is gone: then its rows join the shard before.
Tests: tests/unit/data/files/test_trees.py,
tests/property/test_trees.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blake3 import blake3

from everloop.data.files import shards
from everloop.data.files.rows import join
from everloop.data.files.tree import Manifest, Shard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from everloop.data.files.records import TreeReference
    from everloop.data.files.rows import Rows

    Put = Callable[[bytes, bytes], None]


class TreeBuilder:
    """Takes rows and shards by ascending path and makes a tree of them.

    Args:
        put: takes the 32 bytes of an object's digest and its content.
        known: shards that are stored already; those with the same content are used again.
    """

    def __init__(self, put: Put, *, known: Iterable[Shard] = ()) -> None:
        self._put = put
        self._known = {shard.content: shard for shard in known}
        self._done: list[Shard] = []
        self._open: list[Rows] = []
        # The last shard taken over whole, still to be read if the next path does not begin a shard.
        self._last: tuple[Shard, Callable[[Shard], Rows]] | None = None

    def add_rows(self, rows: Rows) -> None:
        """Take files."""
        if not rows.paths:
            return
        if shards.is_beginning(rows.paths[0]):
            self._close()
        else:
            self._reopen()
        self._settle()
        self._open.append(rows)

    def add_shard(self, shard: Shard, read: Callable[[Shard], Rows]) -> None:
        """Take a whole shard of a tree; `read` returns its rows if they are needed."""
        if not shards.is_beginning(shard.first):
            # The first shard of a tree may begin anywhere; it stays whole only where it is first again.
            self._reopen()
        if self._open and not shards.is_beginning(shard.first):
            self._open.append(read(shard))
            return
        self._close()
        self._settle()
        self._last = shard, read

    def finish(self) -> TreeReference:
        """Hand over the last shards and the manifest; return the reference of the tree."""
        self._close()
        self._settle()
        manifest = Manifest(1, self._done)
        self._store(manifest.encode())
        return manifest.reference()

    def _reopen(self) -> None:
        if self._last is not None:
            shard, read = self._last
            self._last = None
            self._open.append(read(shard))

    def _settle(self) -> None:
        if self._last is not None:
            self._done.append(self._last[0])
            self._last = None

    def _close(self) -> None:
        if not self._open:
            return
        rows = join(self._open)
        self._open = []
        for start, stop in shards.cuts(rows.paths):
            self._done.append(self._shard(rows.cut(start, stop)))

    def _shard(self, rows: Rows) -> Shard:
        content = shards.name_content(rows)
        known = self._known.get(content)
        if known is not None:
            return known
        stored = self._store(shards.encode(rows))
        return Shard(rows.paths[0], content, stored, len(rows.paths), int(rows.sizes.sum()))

    def _store(self, content: bytes) -> bytes:
        digest = blake3(content).digest()
        self._put(digest, content)
        return digest
