"""Store files that lie anywhere, each under a path of its own, as a tree: for versions that come from another system.

A content that was stored before under the same checksum is not read again. Tests: tests/unit/data/importers/test_importing.py.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from blake3 import blake3

from everloop.core.errors import ConflictError
from everloop.data.files.building import TreeBuilder
from everloop.data.files.chunking import LARGE, store_chunks
from everloop.data.files.index import Noted
from everloop.data.files.records import TreeReference
from everloop.data.files.rows import Rows, as_digests, texts
from everloop.data.files.sink import ObjectSink
from everloop.data.files.storing import Stored, contents_of
from everloop.data.files.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pyarrow as pa

    from everloop.core.digests import Digest
    from everloop.data.files.chunking import Readable
    from everloop.kernel.objects import Objects

# So many small files are fetched at once; they may be far away.
_READERS = 8
_WAVE = 256


class DamagedContentError(ConflictError):
    """The bytes of a file are not those that its version names."""

    code = "data.import-damaged"


class Source(NamedTuple):
    """A file to store.

    Attributes:
        path: in the tree, parts joined by `/`; never absolute, never with `..`.
        checksum: equal for equal contents among the files of one import; empty where not known.
        size_bytes: as its version says.
        open: opens its bytes, read once.
        verify: makes what takes the bytes piece by piece and then says whether they are the right ones.
    """

    path: str
    checksum: str
    size_bytes: int
    open: Callable[[], pa.NativeFile]
    verify: Callable[[], Verifier] | None = None


class Verifier(NamedTuple):
    """Takes bytes, then says whether they were the right ones."""

    update: Callable[[bytes], None]
    is_right: Callable[[], bool]


Known = dict[str, tuple[Noted, int]]
"""Contents that are stored, and their sizes, by checksum."""


def store_files(
    files: Sequence[Source],
    objects: Objects,
    *,
    known: Known,
    parent: TreeReference | None = None,
    told: Callable[[int, int], None] | None = None,
) -> Stored:
    """Store files and return their tree.

    Args:
        files: ordered by path, no path twice.
        objects: where.
        known: what was stored before in this import; what is read is added.
        parent: the tree that was stored before; its shards are used again.
        told: called with files and bytes read so far.

    Raises:
        DamagedContentError: a file does not hold what its version says; nothing was named.
        SourceNotFoundError, UnreadableSourceError: a file cannot be read.
    """
    old = Tree(parent, objects) if parent is not None else None
    found: dict[str, tuple[Noted, int]] = {}
    fresh = [file for file in files if not file.checksum or file.checksum not in known]
    again = {known[file.checksum] for file in files if file.checksum in known}
    borrowed = {name for noted, _ in again for name in _names(noted)} - contents_of(old)
    with ObjectSink(objects) as sink:
        count = size = 0
        for path, noted, length in _read_all(fresh, sink):
            found[path] = noted, length
            count, size = count + 1, size + length
            if told is not None:
                told(count, size)
        known.update((file.checksum, found[file.path]) for file in fresh if file.checksum)
        builder = TreeBuilder(sink.add, known=old.shards if old else ())
        builder.add_rows(_rows(files, found, known))
        reference = builder.finish()
        sink.drain()
    return Stored(
        TreeReference(
            digest=reference.digest,
            manifest=reference.manifest,
            files=reference.files,
            size_bytes=reference.size_bytes,
            stored_bytes=sink.stored_bytes,
        ),
        sorted(borrowed),
    )


def _rows(files: Sequence[Source], found: Known, known: Known) -> Rows:
    notes = [found[file.path] if file.path in found else known[file.checksum] for file in files]
    return Rows(
        [file.path for file in files],
        as_digests(b"".join(noted.digest for noted, _ in notes)),
        np.fromiter((size for _, size in notes), np.int64, len(files)),
        np.zeros(len(files), np.uint8),
        {row: noted.chunks for row, (noted, _) in enumerate(notes) if noted.chunks is not None},
    )


def _read_all(files: Sequence[Source], sink: ObjectSink) -> Iterator[tuple[str, Noted, int]]:
    small = [file for file in files if file.size_bytes <= LARGE]
    with ThreadPoolExecutor(_READERS, thread_name_prefix="everloop-import") as pool:
        for start in range(0, len(small), _WAVE):
            wave = small[start : start + _WAVE]
            for file, content in zip(wave, pool.map(_read_small, wave), strict=True):
                digest = blake3(content).digest()
                sink.add(digest, content)
                yield file.path, Noted(digest, None), len(content)
    for file in files:
        if file.size_bytes > LARGE:
            with file.open() as opened:
                checked = _Checked(file, opened)
                noted, size = store_chunks(checked, sink)
            checked.refuse_damaged(size)
            yield file.path, noted, size


def _read_small(file: Source) -> bytes:
    with file.open() as opened:
        checked = _Checked(file, opened)
        # One byte more than there should be: a longer file is noticed, and never read whole.
        content = checked.read(file.size_bytes + 1)
    checked.refuse_damaged(len(content))
    return content


class _Checked:
    """Reads a file and compares what it read with what the version says."""

    def __init__(self, file: Source, opened: Readable) -> None:
        self._file = file
        self._opened = opened
        self._verifier = file.verify() if file.verify is not None else None

    def read(self, size: int, /) -> bytes:
        content = bytes(self._opened.read(size))
        if self._verifier is not None:
            self._verifier.update(content)
        return content

    def refuse_damaged(self, size: int) -> None:
        is_right = self._verifier is None or self._verifier.is_right()
        if size == self._file.size_bytes and is_right:
            return
        raise DamagedContentError(
            f"{self._file.path} is not what its version says: {size:,} bytes, {self._file.size_bytes:,} expected"
            f"{'' if is_right else ', and another checksum'}. Nothing of this version was added. Fetch the file again at its "
            "origin, then import again.",
            subject=self._file.path,
        )


def _names(noted: Noted) -> list[Digest]:
    return texts(noted.digest if noted.chunks is None else noted.chunks.digests)
