"""Sources that are named by text: a path, a pattern, the URL of a bucket, an HTTP address."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from everloop.data.connectors.files import LocalFile
from everloop.data.connectors.folder import FolderStream
from everloop.data.connectors.formats import open_file
from everloop.data.connectors.http import DOWNLOAD_LIMIT_BYTES, download
from everloop.data.connectors.listing import is_pattern, local_members, matching_members, remote_members
from everloop.data.connectors.remote import RemoteFile, local_path, open_place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from everloop.data.connectors.protocol import SourceStream


def open_path(source: str | Path, **options: Any) -> SourceStream:  # noqa: ANN401 - options of the format
    """Open a file, a folder or the files that a pattern names."""
    path = Path(source).expanduser()
    if path.is_dir():
        return FolderStream(str(source), local_members(path), options)
    if is_pattern(str(source)) and not path.exists():
        return FolderStream(str(source), matching_members(path.as_posix()), options)
    return open_file(LocalFile(path, name=str(source)), **options)


def open_url(
    url: str,
    *,
    store_options: Mapping[str, str] | None = None,
    store: Any = None,  # noqa: ANN401 - a store of obstore
    **options: Any,  # noqa: ANN401 - options of the format
) -> SourceStream:
    """Open an object of a bucket, all below a prefix that ends with `/`, or those that a pattern names."""
    if url.startswith("file://"):
        return open_path(local_path(url), **options)
    place, key, root = open_place(url, store_options=store_options, store=store)
    if is_pattern(key) or key.endswith("/") or not key:
        return FolderStream(url, remote_members(place, key, root), options)
    if place.size(key) is None and any(True for _ in place.list(key)):
        return FolderStream(url, remote_members(place, key, root), options)
    return open_file(RemoteFile(place, key, name=url), **options)


def open_http(
    url: str,
    *,
    size_limit_bytes: int = DOWNLOAD_LIMIT_BYTES,
    timeout_s: float = 60,
    headers: Mapping[str, str] | None = None,
    **options: Any,  # noqa: ANN401 - options of the format
) -> SourceStream:
    """Open a file behind an HTTP address; it is fetched whole first."""
    file = download(url, size_limit_bytes=size_limit_bytes, timeout_s=timeout_s, headers=headers)
    return open_file(file, **options)
