"""Files behind an HTTP address, fetched whole into a temporary file before they are read.

Only a client calls this: the server never fetches an address that a client named.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import unquote, urlsplit, urlunsplit

import urllib3

from everloop.core.errors import PermissionDeniedError
from everloop.data.connectors.errors import (
    SourceNotFoundError,
    SourceTooLargeError,
    SourceUnavailableError,
    UnsupportedSourceError,
)
from everloop.data.connectors.files import LocalFile

if TYPE_CHECKING:
    from collections.abc import Mapping

DOWNLOAD_LIMIT_BYTES = 20 << 30
_CHUNK_BYTES = 1 << 20
_CONNECT_TIMEOUT_S = 10
_RETRIES = 4
_REDIRECTS = 5
_BUSY = (429, 500, 502, 503, 504)
_REFUSED = (401, 403)
_NOT_THERE = (404, 410)


class SourceRefusedError(PermissionDeniedError):
    """The server of a source wants other credentials."""

    code = "data.source-refused"


def download(
    url: str,
    *,
    size_limit_bytes: int = DOWNLOAD_LIMIT_BYTES,
    timeout_s: float = 60,
    headers: Mapping[str, str] | None = None,
) -> LocalFile:
    """Fetch a file; it is deleted when the result is no longer in use.

    A server that is busy or breaks off is asked again a few times, a little later each time.

    Args:
        url: `http://` or `https://`.
        size_limit_bytes: a larger file is refused, as soon as it is seen to be.
        timeout_s: of silence between two pieces of the answer.
        headers: sent with the request, for example `Authorization`.

    Raises:
        SourceNotFoundError, SourceRefusedError, SourceTooLargeError, SourceUnavailableError: as named.
    """
    shown = shown_url(url)
    folder = Path(tempfile.mkdtemp(prefix="everloop-http-"))
    owner = _Folder(folder)
    path = folder / (PurePosixPath(unquote(urlsplit(url).path)).name or "download")
    timeout = urllib3.Timeout(connect=min(_CONNECT_TIMEOUT_S, timeout_s), read=timeout_s)
    policy = urllib3.Retry(
        _RETRIES, redirect=_REDIRECTS, status_forcelist=_BUSY, backoff_factor=0.2, raise_on_status=False
    )
    with urllib3.PoolManager(timeout=timeout, retries=policy, headers=dict(headers or {})) as pool:
        for attempt in range(1, _RETRIES + 1):
            try:
                with path.open("wb") as file:
                    _fetch(pool, url, file, shown=shown, limit=size_limit_bytes)
                break
            except urllib3.exceptions.HTTPError as error:
                if attempt == _RETRIES or isinstance(error, urllib3.exceptions.MaxRetryError):
                    raise SourceUnavailableError(
                        f"{shown} could not be fetched: {_cause(error)}. Check the address, or try again later.",
                        subject=shown,
                    ) from error
    return LocalFile(path, name=shown, owner=owner)


def shown_url(url: str) -> str:
    """Return the address without user, password and query, which may hold secrets."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


class _Folder:
    """Deletes a folder when no one holds this any more."""

    def __init__(self, folder: Path) -> None:
        weakref.finalize(self, shutil.rmtree, os.fspath(folder), ignore_errors=True)


def _fetch(pool: urllib3.PoolManager, url: str, file: BinaryIO, *, shown: str, limit: int) -> None:
    answer = pool.request("GET", url, preload_content=False)
    try:
        _refuse(answer, shown)
        if int(answer.headers.get("Content-Length") or 0) > limit:
            raise _too_large(shown, limit)
        size = 0
        for piece in answer.stream(_CHUNK_BYTES, decode_content=True):
            size += len(piece)
            if size > limit:
                raise _too_large(shown, limit)
            file.write(piece)
    finally:
        # A connection with an unread rest cannot be used again.
        answer.close()


def _refuse(answer: urllib3.BaseHTTPResponse, shown: str) -> None:
    status = answer.status
    if status == HTTPStatus.OK:
        return
    if status in _NOT_THERE:
        raise SourceNotFoundError(
            f"there is no file {shown} (HTTP {status}). Check the address.", subject=shown
        )
    if status in _REFUSED:
        raise SourceRefusedError(
            f'the server of {shown} refuses us (HTTP {status}). Pass credentials: headers={{"Authorization": ...}}.',
            subject=shown,
        )
    if status in _BUSY:
        raise SourceUnavailableError(
            f"the server of {shown} does not deliver (HTTP {status}), also after {_RETRIES} tries. Try again later.",
            subject=shown,
        )
    raise UnsupportedSourceError(
        f"{shown} answers HTTP {status}, which is no file. Check the address.", subject=shown
    )


def _too_large(shown: str, limit: int) -> SourceTooLargeError:
    return SourceTooLargeError(
        f"{shown} is larger than {limit:,} bytes. Raise the limit with size_limit_bytes=, or fetch it yourself.",
        subject=shown,
    )


def _cause(error: Exception) -> str:
    return str(getattr(error, "reason", None) or error).replace("\n", " ")
