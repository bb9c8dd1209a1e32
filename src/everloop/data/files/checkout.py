"""Write the files of a tree into a folder: what is there already stays, what would be lost is refused.

Each file is written beside its place and renamed, so that a broken run leaves whole files, and the next one writes the rest.
Tests: tests/unit/data/files/test_folders.py.
"""

from __future__ import annotations

import os
import shutil
import time
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from everloop.core.digests import Digest
from everloop.core.errors import ConflictError
from everloop.core.ids import new_id
from everloop.data.files.content import open_content
from everloop.data.files.index import Noted
from everloop.data.files.paths import STAGING, UnsafePathError, refuse_unsafe
from everloop.data.files.records import Checkout
from everloop.data.files.rows import chunk_list
from everloop.data.files.scan import found, scan
from everloop.data.files.storing import hash_file
from everloop.data.files.tree import read_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from everloop.data.files.index import WorkspaceIndex
    from everloop.data.files.records import FileEntry, TreeReference
    from everloop.data.files.scan import Found
    from everloop.kernel.objects import Objects

_TOGETHER = 256
_SMALL = 1 << 20


class LocalChangesError(ConflictError):
    """A file of the folder holds bytes that no version has, and would be overwritten."""

    code = "files.local-changes"


def checkout(
    reference: TreeReference,
    folder: Path,
    objects: Objects,
    index: WorkspaceIndex,
    *,
    paths: Sequence[str] = (),
    told: Callable[[int, int], None] | None = None,
) -> Checkout:
    """Bring files of a tree into a folder; other files of the folder stay.

    Args:
        reference: the tree.
        folder: where to; made when it is not there.
        objects: where the tree is.
        index: notes of earlier readings.
        paths: patterns of the files wanted, `train/*.png`; all when empty. `*` stands for any characters, `/` among them.
        told: called with files and bytes written so far.

    Raises:
        UnsafePathError: a path leaves the folder, also through a link in it; nothing was written.
        LocalChangesError: files that are in the way hold bytes of no version; nothing was written.
    """
    wanted = [entry for entry in read_tree(reference, objects) if _is_wanted(entry.path, paths)]
    refuse_unsafe((entry.path for entry in wanted), on_windows=os.name == "nt")
    folder.mkdir(parents=True, exist_ok=True)
    root, began = os.path.realpath(folder), time.time_ns()
    _refuse_links(root, wanted)
    files = scan(folder)
    notes = index.known(root, files)
    there = {path: files.file(row) for row, path in enumerate(files.paths)}
    known = {files.paths[row]: notes.noted(row) for row in np.flatnonzero(notes.is_known).tolist()}
    todo = [entry for entry in wanted if not _is_there(entry, there, known, root)]
    _refuse_loss(todo, there, known, root, objects)
    staging = Path(root, f"{STAGING}{new_id()}")
    staging.mkdir()
    try:
        written = list(_write(todo, root, staging, objects, told))
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    index.note(root, written, read_at_ns=began)
    size = sum(entry.size_bytes for entry in todo)
    return Checkout(written=len(todo), unchanged=len(wanted) - len(todo), written_bytes=size)


def _is_wanted(path: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(
        fnmatchcase(path, pattern) or path.startswith(pattern.rstrip("/") + "/") for pattern in patterns
    )


def _is_there(entry: FileEntry, there: dict[str, Found], known: dict[str, Noted], root: str) -> bool:
    file = there.get(entry.path)
    if file is None or file.size_bytes != entry.size_bytes or file.is_executable != entry.is_executable:
        return False
    if entry.path not in known:
        known[entry.path] = Noted(hash_file(Path(root, entry.path)), None)
    return f"b3:{known[entry.path].digest.hex()}" == entry.digest


def _refuse_links(root: str, wanted: Sequence[FileEntry]) -> None:
    """Refuse to write through a link of the folder, which may lead anywhere."""
    for parent in sorted({entry.path.rpartition("/")[0] for entry in wanted}):
        at = root
        for part in parent.split("/") if parent else ():
            at = os.path.join(at, part)  # noqa: PTH118 - text that is compared
            if os.path.islink(at):  # noqa: PTH114
                raise UnsafePathError(
                    f"{parent} goes through a link of the folder, which leads elsewhere. Nothing was written. Remove the link, or "
                    "check out into another folder.",
                    subject=parent,
                )


def _refuse_loss(
    todo: Sequence[FileEntry], there: dict[str, Found], known: dict[str, Noted], root: str, objects: Objects
) -> None:
    in_the_way = [entry.path for entry in todo if entry.path in there]
    digests = {}
    for path in in_the_way:
        raw = known[path].digest if path in known else hash_file(Path(root, path))
        chunks = known[path].chunks if path in known else None
        digests[path] = Digest(f"b3:{raw.hex()}") if chunks is None else chunks.records()[0].digest
    lost = objects.missing(map(Digest, digests.values()))
    named = sorted(path for path, digest in digests.items() if digest in lost)
    if named:
        more = f" and {len(named) - 1} more" if len(named) > 1 else ""
        raise LocalChangesError(
            f"{named[0]}{more} would be overwritten, and no version has what it holds. Nothing was written. Add the folder first, move "
            "the files away, or check out into another folder.",
            subject=named[0],
            details={"paths": named[:100]},
        )


def _write(
    todo: Sequence[FileEntry],
    root: str,
    staging: Path,
    objects: Objects,
    told: Callable[[int, int], None] | None,
) -> Iterator[tuple[Found, Noted]]:
    size = 0
    for start in range(0, len(todo), _TOGETHER):
        together = todo[start : start + _TOGETHER]
        small = {Digest(e.digest) for e in together if not e.chunks and e.size_bytes <= _SMALL}
        contents = dict(objects.get_many(small))
        for entry in together:
            staged = staging / "file"
            with staged.open("wb") as file:
                if Digest(entry.digest) in contents:
                    file.write(contents[Digest(entry.digest)])
                else:
                    with open_content(entry, objects) as source:
                        shutil.copyfileobj(source, file, 8 << 20)
            staged.chmod(0o755 if entry.is_executable else 0o644)
            target = Path(root, entry.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            staged.replace(target)
            size += entry.size_bytes
            noted = Noted(bytes.fromhex(entry.digest[3:]), chunk_list(entry.chunks) if entry.chunks else None)
            yield found(entry.path, target.stat()), noted
        if told is not None:
            told(start + len(together), size)
