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
from everloop.data.files.rows import Rows, find_places, join, texts
from everloop.data.files.scan import found, scan
from everloop.data.files.sink import ObjectSink
from everloop.data.files.tree import Tree
from everloop.kernel.objects.links import Seen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from everloop.core.digests import Digest
    from everloop.data.files.index import Notes, WorkspaceIndex
    from everloop.data.files.scan import Files, Found
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
    notes = index.known(root, files)
    old = Tree(parent, objects) if parent is not None else None
    borrowed = _borrowed(notes, old)
    gone = objects.missing({name for names in borrowed.values() for name in names})
    for row, names in borrowed.items():
        if not gone.isdisjoint(names):
            # What was noted is not in the store any more: the file is read again.
            notes.noted_ns[row] = 0
    fresh = [files.file(row) for row in np.flatnonzero(~notes.is_known).tolist()]
    linked: list[Seen] = []
    with ObjectSink(objects) as sink:
        if link is not None:
            linked = [_seen(root, file) for file in fresh if file.size_bytes]
            link(linked)
            fresh = [file for file in fresh if not file.size_bytes]
        read = dict(_read_all(root, fresh, sink, told))
        read.update((one.path, one.noted) for one in map(partial(_as_read, root), linked))
        notes, modes = _with_read(files, notes, read, began)
        builder = TreeBuilder(sink.add, known=old.shards if old else ())
        builder.add_rows(Rows(notes.paths, notes.digests, notes.marks[:, 0], modes, notes.chunks))
        reference = builder.finish()
        sink.drain()
    if read:
        index.keep(root, notes)
    names = sorted({name for row in borrowed.values() for name in row} - gone)
    kept = [*names, *(seen.digest for seen in linked)]
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
        before = path.stat()
        digest = digest_file(path)
        if found(file.path, before).mark == found(file.path, path.stat()).mark:
            return Seen(path, digest, before)
    raise _changing(file)


def _as_read(root: str, seen: Seen) -> _Read:
    # A hard link changes the time of change of its target, so the file is looked at once more.
    file = found(seen.path.relative_to(root).as_posix(), seen.path.stat())
    return _Read(file.path, (file, Noted(bytes.fromhex(seen.digest[3:]), None)))


def contents_of(tree: Tree | None) -> set[Digest]:
    """Return the objects that hold the contents of a tree."""
    names: set[Digest] = set()
    for rows in tree.pieces() if tree is not None else ():
        names.update(rows.names())
        for chunks in rows.chunks.values():
            names.update(texts(chunks.digests))
    return names


def _borrowed(notes: Notes, old: Tree | None) -> dict[int, list[Digest]]:
    """Return the objects of files that are not read, by row, where no file of the parent needs them."""
    is_known = notes.is_known
    if old is not None:
        rows = join(list(old.pieces()))
        places = find_places(notes.paths, rows.paths)
        is_same = (
            (places >= 0) & (rows.digests[places] == notes.digests).all(axis=1) if rows.paths else ~is_known
        )
        is_known = is_known & ~is_same
    unsure = {*np.flatnonzero(is_known).tolist(), *notes.chunks}
    if not unsure:
        return {}
    theirs = contents_of(old)
    found = {row: [name for name in _names(notes.noted(row)) if name not in theirs] for row in sorted(unsure)}
    return {row: names for row, names in found.items() if names}


def _names(noted: Noted) -> list[Digest]:
    return texts(noted.digest if noted.chunks is None else noted.chunks.digests)


def _with_read(
    files: Files, notes: Notes, read: Mapping[str, tuple[Found, Noted]], read_at_ns: int
) -> tuple[Notes, NDArray[np.uint8]]:
    """Return the notes and the modes of all files, with those of the files that were read."""
    rows = np.flatnonzero(~notes.is_known).tolist()
    fresh = [(row, *read[files.paths[row]]) for row in rows]
    modes = files.modes.copy()
    modes[rows] = [file.is_executable for _, file, _ in fresh]
    return notes.with_read(fresh, read_at_ns=read_at_ns), modes


def _read_all(
    root: str, files: Sequence[Found], sink: ObjectSink, told: Callable[[int, int], None] | None
) -> Iterator[tuple[str, tuple[Found, Noted]]]:
    small = [file for file in files if file.size_bytes <= LARGE]
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
        if file.size_bytes > LARGE:
            same, noted = _read_large(root, file, sink)
            yield file.path, (same, noted)
            count, size = count + 1, size + same.size_bytes
            if told is not None:
                told(count, size)


def _read_small(root: str, file: Found) -> tuple[Found, bytes, bytes]:
    """Return the file as it was when its content was read; it is a hot path, so system calls are counted."""
    before = file
    for _ in range(_TRIES):
        handle = os.open(f"{root}/{file.path}", os.O_RDONLY)
        try:
            content = os.read(handle, before.size_bytes + 1)
            after = found(file.path, os.fstat(handle))
        finally:
            os.close(handle)
        if before.mark == after.mark and len(content) == after.size_bytes:
            return after, content, blake3(content).digest()
        before = after
    raise _changing(file)


def _read_large(root: str, file: Found, sink: ObjectSink) -> tuple[Found, Noted]:
    for _ in range(_TRIES):
        with Path(root, file.path).open("rb", buffering=0) as opened:
            before = found(file.path, os.fstat(opened.fileno()))
            noted, size = store_chunks(opened, sink)
            after = found(file.path, os.fstat(opened.fileno()))
        if before.mark == after.mark and size == after.size_bytes:
            return after, noted
    raise _changing(file)


def _changing(file: Found) -> ChangingFileError:
    return ChangingFileError(
        f"{file.path} changed each of the {_TRIES} times it was read. Nothing was stored. Stop what writes it, or leave it out, then "
        "add the folder again.",
        subject=file.path,
    )
