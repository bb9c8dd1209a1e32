"""The files of an object store, in a folder or behind an obstore URL; one implementation each.

Tests: tests/unit/kernel/objects/test_files.py, tests/integration/test_objects_s3.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from everloop.kernel.objects.files.protocol import DiskFullError, Files, StoredFile, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DiskFullError", "Files", "StoreUnavailableError", "StoredFile", "open_files"]


def open_files(url: str, *, staging: Path, options: Mapping[str, str] | None = None) -> Files:
    """Open the files of a store.

    Args:
        url: a folder, `file:///folder`, or a URL that obstore speaks: `s3://`, `gs://`, `az://`.
        staging: where a remote store spools what it uploads; a folder stages inside itself.
        options: obstore's own options, for example `region` or `endpoint`.
    """
    if "://" not in url or url.startswith("file://"):
        from everloop.kernel.objects.files.local import LocalFiles

        return LocalFiles(Path(unquote(urlsplit(url).path) if "://" in url else url))
    from everloop.kernel.objects.files.remote import RemoteFiles

    return RemoteFiles(url, staging=staging, options=options or {})
