"""How a folder differs from a tree: a scan, the notes, and a reading of what is not noted.

Tests: tests/unit/data/files/test_folders.py.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from everloop.data.files.index import Noted
from everloop.data.files.records import FolderStatus
from everloop.data.files.scan import scan
from everloop.data.files.storing import hash_file
from everloop.data.files.tree import Tree

if TYPE_CHECKING:
    from everloop.data.files.index import WorkspaceIndex
    from everloop.data.files.records import TreeReference
    from everloop.data.files.scan import Found
    from everloop.kernel.objects import Objects


def folder_status(
    reference: TreeReference, folder: Path, objects: Objects, index: WorkspaceIndex
) -> FolderStatus:
    """Return how the files of a folder differ from those of a tree.

    Raises:
        FolderNotFoundError, UnsupportedFileError: as named.
    """
    root = os.path.realpath(folder)
    files = {file.path: file for file in scan(folder)}
    known = index.known(root, files.values())
    modified, deleted, unchanged, read = [], [], 0, list[tuple["Found", Noted]]()
    began = time.time_ns()
    for rows in Tree(reference, objects).pieces():
        digests, sizes, modes = rows.digests.tobytes(), rows.sizes.tolist(), rows.modes.tolist()
        for row, path in enumerate(rows.paths):
            file = files.pop(path, None)
            if file is None:
                deleted.append(path)
                continue
            raw = digests[32 * row : 32 * row + 32]
            is_same = bool(modes[row]) == file.is_executable and sizes[row] == file.status.st_size
            if is_same and path not in known:
                # Only a file of the same size has to be read to tell.
                known[path] = Noted(hash_file(Path(root, path)), rows.chunks.get(row))
                if known[path].digest == raw:
                    read.append((file, known[path]))
            if is_same and known[path].digest == raw:
                unchanged += 1
            else:
                modified.append(path)
    if read:
        index.note(root, read, read_at_ns=began)
    return FolderStatus(added=sorted(files), modified=modified, deleted=deleted, unchanged=unchanged)
