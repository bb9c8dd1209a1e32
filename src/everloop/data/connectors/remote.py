"""Files behind an obstore URL: S3, Google Cloud Storage, Azure, `file://`, `memory://`.

Only ranges of bytes are fetched, so of a Parquet file of 10 GB the first rows cost a few requests.
"""

from __future__ import annotations

import io
import tempfile
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from everloop.core.digests import digest_stream
from everloop.data.connectors.errors import SourceNotFoundError, UnknownOptionError
from everloop.kernel.objects.files.remote import RemoteFiles

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from everloop.kernel.objects.files import StoredFile

_COPY_BYTES = 8 << 20


class RemotePlace(Protocol):
    """Where named bytes are read from, as far as a source needs it; the kernel's `Files` are one."""

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        """Return bytes of a file."""
        ...

    def size(self, name: str) -> int | None:
        """Return the size, or None when there is no such file."""
        ...

    def list(self, prefix: str) -> Iterator[StoredFile]:
        """Yield the files of a folder and its sub-folders."""
        ...


class RemoteFile:
    """A file of a bucket; see `SourceFile`."""

    def __init__(self, place: RemotePlace, key: str, *, name: str, size_bytes: int | None = None) -> None:
        self.name = name
        self._place = place
        self._key = key
        size = place.size(key) if size_bytes is None else size_bytes
        if size is None:
            raise SourceNotFoundError(
                f"there is no object {name}. Check the bucket and the path.", subject=name
            )
        self.size_bytes = size

    def open(self) -> pa.NativeFile:
        """Open its bytes; each read is one request."""
        return pa.PythonFile(_Ranges(self._place, self._key, self.size_bytes), mode="r")

    @contextmanager
    def local(self) -> Iterator[Path]:
        """Fetch it into a temporary file."""
        with tempfile.NamedTemporaryFile(
            prefix="everloop-source-", suffix=PurePosixPath(self._key).suffix
        ) as file:
            for piece in self._pieces():
                file.write(piece)
            file.flush()
            yield Path(file.name)

    def digest(self) -> str:
        """Return the digest of its bytes; fetches them all."""
        return digest_stream(self._pieces())

    def _pieces(self) -> Iterator[bytes]:
        for start in range(0, self.size_bytes, _COPY_BYTES):
            yield self._place.read(self._key, start, min(_COPY_BYTES, self.size_bytes - start))


class _Ranges(io.RawIOBase):
    """A file of a place as a Python file."""

    def __init__(self, place: RemotePlace, key: str, size: int) -> None:
        super().__init__()
        self._place = place
        self._key = key
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - a writable buffer
        length = min(len(buffer), self._size - self._position)
        if length <= 0:
            return 0
        content = self._place.read(self._key, self._position, length)
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)


class _GivenStore(RemoteFiles):
    """Files of an obstore store that the caller made."""

    def __init__(self, store: Any, place: str) -> None:  # noqa: ANN401 - a store of obstore
        self.place = place
        self.staging = Path(tempfile.gettempdir())
        self._store = store


def local_path(url: str) -> Path:
    """Return the path of a `file://` URL."""
    return Path(unquote(urlsplit(url).path))


def open_place(
    url: str,
    *,
    store_options: Mapping[str, str] | None = None,
    store: Any = None,  # noqa: ANN401 - a store of obstore
) -> tuple[RemotePlace, str, str]:
    """Return the place a URL names, the path in it, and the URL of the place for messages.

    Args:
        url: `s3://bucket/path`; with `store` the path is taken within it.
        store_options: obstore's options, for example `region`, `endpoint`, `access_key_id`.
        store: a store of obstore to use instead of opening one, for example a `MemoryStore`.
    """
    parts = urlsplit(url)
    root = f"{parts.scheme}://{parts.netloc}"
    key = unquote(parts.path).lstrip("/")
    if store is not None:
        return _GivenStore(store, root), key, root
    if parts.scheme == "memory":
        raise UnknownOptionError(
            f"{url}: a new memory store is empty. Pass the one that has the rows: store=obstore.store.MemoryStore().",
            subject=url,
        )
    staging = Path(tempfile.gettempdir())
    return RemoteFiles(root, staging=staging, options=store_options or {}), key, root
