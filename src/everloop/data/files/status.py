"""How a folder differs from a tree: a scan, the notes, and a reading of what is not noted.

Tests: tests/unit/data/files/test_folders.py.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from everloop.data.files.index import Noted
from everloop.data.files.records import ChangedOriginalFile, FolderStatus
from everloop.data.files.rows import RAW, find_places, join
from everloop.data.files.scan import scan
from everloop.data.files.storing import hash_file
from everloop.data.files.tree import Tree

if TYPE_CHECKING:
    from everloop.data.files.index import WorkspaceIndex
    from everloop.data.files.records import TreeReference
    from everloop.data.files.scan import Found
    from everloop.kernel.objects import Objects, ObjectStore


def folder_status(
    reference: TreeReference, folder: Path, objects: Objects, index: WorkspaceIndex
) -> FolderStatus:
    """Return how the files of a folder differ from those of a tree.

    Raises:
        FolderNotFoundError, UnsupportedFileError: as named.
    """
    root = os.path.realpath(folder)
    files = scan(folder)
    notes = index.known(root, files)
    rows = join(list(Tree(reference, objects).pieces()))
    places = find_places(rows.paths, files.paths)
    is_there = places >= 0
    at = places[is_there]
    is_alike = (rows.sizes[is_there] == files.marks[at, 0]) & (rows.modes[is_there] == files.modes[at])
    is_known = notes.is_known[at]
    is_same = is_alike & is_known & (rows.digests[is_there] == notes.digests[at]).all(axis=1)
    there: list[int] = np.flatnonzero(is_there).tolist()
    # Only a file of the same size has to be read to tell.
    unread: list[int] = np.flatnonzero(is_alike & ~is_known).tolist()
    began = time.time_ns()
    read: list[tuple[Found, Noted]] = []
    for place in unread:
        row, file = there[place], files.file(int(at[place]))
        noted = Noted(hash_file(Path(root, file.path)), rows.chunks.get(row))
        if noted.digest == rows.digests[row].tobytes():
            is_same[place] = True
            read.append((file, noted))
    if read:
        index.note(root, read, read_at_ns=began)
    is_new = np.ones(len(files.paths), np.bool_)
    is_new[at] = False
    return FolderStatus(
        added=[files.paths[row] for row in np.flatnonzero(is_new).tolist()],
        modified=[rows.paths[there[place]] for place in np.flatnonzero(~is_same).tolist()],
        deleted=[rows.paths[row] for row in np.flatnonzero(~is_there).tolist()],
        unchanged=int(is_same.sum()),
    )


def changed_originals(reference: TreeReference, store: ObjectStore) -> list[ChangedOriginalFile]:
    """Return the files of a tree that were added by a link and whose bytes are not there any more, by path.

    A tree without links costs one question to the catalog, one with links a look at each original.
    """
    changed = {bytes.fromhex(one.digest[3:]): one for one in store.changed_originals()}
    if not changed:
        return []
    found = []
    for rows in Tree(reference, store).pieces():
        raw = rows.digests.tobytes()
        for row, path in enumerate(rows.paths):
            one = changed.get(raw[RAW * row : RAW * row + RAW])
            if one is not None:
                found.append(ChangedOriginalFile(path=path, original=one.path, reason=one.reason))
    return found
