"""Store a folder: read what changed, store what is new, name the tree.

Small files are packed, large ones cut where their content says so (FastCDC), so that a change in the middle of one is stored as the
chunks around it. A file that changes while it is read is read again, and never named wrongly. Notes are kept only when everything is
durable, so a killed run loses nothing and the next one reads only what was not noted. Tests: tests/unit/data/files/test_folders.py.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from blake3 import blake3

from everloop.core.digests import digest_file
from everloop.core.errors import ConflictError
from everloop.data.files.building import TreeBuilder
from everloop.data.files.chunking import LARGE, store_chunks
from everloop.data.files.index import Noted
from everloop.data.files.records import TreeReference
from everloop.data.files.rows import Rows, as_digests, texts
from everloop.data.files.scan import Found, scan
from everloop.data.files.sink import ObjectSink
from everloop.data.files.tree import Tree
from everloop.kernel.objects.links import Seen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from everloop.core.digests import Digest
    from everloop.data.files.index import WorkspaceIndex
    from everloop.kernel.objects import Objects

_BUFFER = 64 << 20
_READERS = 2
# So many small files are read by one thread before they are handed on.
_TOGETHER = 128
_TRIES = 3


class ChangingFileError(ConflictError):
    """A file changed each time it was read."""

    code = "files.changing-file"


class _Read(NamedTuple):
    """A file that was read, by its path."""

    path: str
    noted: tuple[Found, Noted]


class Stored(NamedTuple):
    """A stored folder.

    Attributes:
        reference: the tree.
        borrowed: objects that were in the store already and that no file of the parent needs; the commit must keep them.
    """

    reference: TreeReference
    borrowed: list[Digest]


def store_folder(
    folder: Path,
    objects: Objects,
    index: WorkspaceIndex,
    *,
    parent: TreeReference | None = None,
    told: Callable[[int, int], None] | None = None,
    link: Callable[[Sequence[Seen]], object] | None = None,
) -> Stored:
    """Store the files of a folder and return their tree.

    Args:
        folder: what to store.
        objects: where.
        index: notes of earlier readings.
        parent: the tree that was stored before; its shards and contents are used again.
        told: called with files and bytes read so far.
        link: makes objects of files where they lie; then new files are hashed and not copied.

    Raises:
        FolderNotFoundError, UnsupportedFileError: as named; nothing was stored.
        ChangingFileError: a file changed each time it was read.
        DiskFullError: as named.
    """
    root, began = os.path.realpath(folder), time.time_ns()
    files = scan(folder)
    known = index.known(root, files)
    old = Tree(parent, objects) if parent is not None else None
    theirs = contents_of(old)
    borrowed = sorted({name for noted in known.values() for name in _names(noted) if name not in theirs})
    gone = objects.missing(borrowed)
    if gone:
        known = {path: noted for path, noted in known.items() if gone.isdisjoint(_names(noted))}
    fresh = [file for file in files if file.path not in known]
    linked: list[Seen] = []
    with ObjectSink(objects) as sink:
        if link is not None:
            linked = [_seen(root, file) for file in fresh if file.status.st_size]
            link(linked)
            fresh = [file for file in fresh if not file.status.st_size]
        read = dict(_read_all(root, fresh, sink, told))
        read.update((one.path, one.noted) for one in map(partial(_as_read, root), linked))
        builder = TreeBuilder(sink.add, known=old.shards if old else ())
        builder.add_rows(_rows(files, known, read))
        reference = builder.finish()
        sink.drain()
    if read:
        index.note(root, list(read.values()), read_at_ns=began)
    kept = [*(name for name in borrowed if name not in gone), *(seen.digest for seen in linked)]
    return Stored(
        TreeReference(
            digest=reference.digest,
            manifest=reference.manifest,
            files=reference.files,
            size_bytes=reference.size_bytes,
            stored_bytes=sink.stored_bytes,
        ),
        kept,
    )


def hash_file(path: Path) -> bytes:
    """Return the 32 bytes of a file's digest; nothing is stored."""
    hasher = blake3(max_threads=blake3.AUTO)
    with path.open("rb") as file:
        while piece := file.read(_BUFFER):
            hasher.update(piece)
    return hasher.digest()


def _seen(root: str, file: Found) -> Seen:
    """Return a file to link with its digest, taken while it did not change."""
    path = Path(root, file.path)
    for _ in range(_TRIES):
        before = Found(file.path, path.stat())
        digest = digest_file(path)
        if before.mark == Found(file.path, path.stat()).mark:
            return Seen(path, digest, before.status)
    raise _changing(file)


def _as_read(root: str, seen: Seen) -> _Read:
    # A hard link changes the time of change of its target, so the file is looked at once more.
    file = Found(seen.path.relative_to(root).as_posix(), seen.path.stat())
    return _Read(file.path, (file, Noted(bytes.fromhex(seen.digest[3:]), None)))


def contents_of(tree: Tree | None) -> set[Digest]:
    """Return the objects that hold the contents of a tree."""
    found: set[Digest] = set()
    for rows in tree.pieces() if tree is not None else ():
        found.update(rows.names())
        for chunks in rows.chunks.values():
            found.update(texts(chunks.digests))
    return found


def _names(noted: Noted) -> list[Digest]:
    return texts(noted.digest if noted.chunks is None else noted.chunks.digests)


def _rows(
    files: Sequence[Found], known: Mapping[str, Noted], read: Mapping[str, tuple[Found, Noted]]
) -> Rows:
    files = [read[file.path][0] if file.path in read else file for file in files]
    notes = [read[file.path][1] if file.path in read else known[file.path] for file in files]
    return Rows(
        [file.path for file in files],
        as_digests(b"".join(noted.digest for noted in notes)),
        np.fromiter((file.status.st_size for file in files), np.int64, len(files)),
        np.fromiter((file.is_executable for file in files), np.uint8, len(files)),
        {row: noted.chunks for row, noted in enumerate(notes) if noted.chunks is not None},
    )


def _read_all(
    root: str, files: Sequence[Found], sink: ObjectSink, told: Callable[[int, int], None] | None
) -> Iterator[tuple[str, tuple[Found, Noted]]]:
    small = [file for file in files if file.status.st_size <= LARGE]
    count = size = 0
    with ThreadPoolExecutor(_READERS, thread_name_prefix="everloop-files") as pool:
        batches = [small[start : start + _TOGETHER] for start in range(0, len(small), _TOGETHER)]
        for batch in pool.map(lambda batch: [_read_small(root, file) for file in batch], batches):
            for file, content, digest in batch:
                sink.add(digest, content)
                yield file.path, (file, Noted(digest, None))
                size += len(content)
            count += len(batch)
            if told is not None:
                told(count, size)
    for file in files:
        if file.status.st_size > LARGE:
            same, noted = _read_large(root, file, sink)
            yield file.path, (same, noted)
            count, size = count + 1, size + same.status.st_size
            if told is not None:
                told(count, size)


def _read_small(root: str, file: Found) -> tuple[Found, bytes, bytes]:
    """Return the file as it was when its content was read; it is a hot path, so system calls are counted."""
    before = file
    for _ in range(_TRIES):
        handle = os.open(f"{root}/{file.path}", os.O_RDONLY)
        try:
            content = os.read(handle, before.status.st_size + 1)
            after = Found(file.path, os.fstat(handle))
        finally:
            os.close(handle)
        if before.mark == after.mark and len(content) == after.status.st_size:
            return after, content, blake3(content).digest()
        before = after
    raise _changing(file)


def _read_large(root: str, file: Found, sink: ObjectSink) -> tuple[Found, Noted]:
    for _ in range(_TRIES):
        with Path(root, file.path).open("rb", buffering=0) as opened:
            before = Found(file.path, os.fstat(opened.fileno()))
            noted, size = store_chunks(opened, sink)
            after = Found(file.path, os.fstat(opened.fileno()))
        if before.mark == after.mark and size == after.status.st_size:
            return after, noted
    raise _changing(file)


def _changing(file: Found) -> ChangingFileError:
    return ChangingFileError(
        f"{file.path} changed each of the {_TRIES} times it was read. Nothing was stored. Stop what writes it, or leave it out, then "
        "add the folder again.",
        subject=file.path,
    )
