"""A lakeFS repository, read only: commits through its REST API, bytes through its S3 gateway."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec
import urllib3

from everloop.data.connectors.errors import SourceUnavailableError
from everloop.data.connectors.http import SourceRefusedError, shown_url
from everloop.data.connectors.opening import open_source
from everloop.data.importers.errors import NoRepositoryError, UnreadableHistoryError, UnsafePathError
from everloop.data.importers.records import ImportedFile, ImportedVersion

if TYPE_CHECKING:
    from collections.abc import Iterator

    from everloop.data.connectors.protocol import SourceStream

_PAGE = 1_000
_TIMEOUT = urllib3.Timeout(connect=10, read=60)
_RETRIES = urllib3.Retry(
    4, status_forcelist=(429, 500, 502, 503, 504), backoff_factor=0.2, raise_on_status=False
)
_OK = 200
_MISSING = (404, 410)
_REFUSED = (401, 403)


class LakeCommit(msgspec.Struct, frozen=True):
    """A commit, as the API tells it."""

    id: str
    committer: str
    message: str
    creation_date: int


class _Object(msgspec.Struct, frozen=True):
    path: str
    path_type: str
    checksum: str = ""
    size_bytes: int | None = None


class _Page(msgspec.Struct, frozen=True):
    has_more: bool
    next_offset: str = ""


class _Listing(msgspec.Struct, frozen=True):
    pagination: _Page
    results: list[msgspec.Raw]


class LakeFS:
    """A repository of a lakeFS server. Threads may share it.

    Args:
        endpoint: address of the server, `https://lakefs.example`; the S3 gateway answers at the same one.
        repository: its name.
        access_key_id: of a lakeFS user; reading is all that is asked for.
        secret_access_key: of the same user.
    """

    def __init__(self, endpoint: str, repository: str, *, access_key_id: str, secret_access_key: str) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._repository = repository
        self._name = f"{shown_url(self._endpoint)}, repository {repository}"
        headers = urllib3.make_headers(basic_auth=f"{access_key_id}:{secret_access_key}")
        self._pool = urllib3.PoolManager(timeout=_TIMEOUT, retries=_RETRIES, headers=headers)
        self.store_options = {
            "endpoint": self._endpoint,
            "access_key_id": access_key_id,
            "secret_access_key": secret_access_key,
            "region": "us-east-1",
        }

    def commits(self, ref: str) -> Iterator[LakeCommit]:
        """Yield the commits of a branch, tag or commit along first parents, newest first."""
        for raw in self._pages(f"refs/{quote(ref, safe='')}/commits", {"first_parent": "true"}):
            yield _decode(raw, LakeCommit, self._name)

    def files(self, ref: str, *, prefix: str = "") -> Iterator[ImportedFile]:
        """Yield the objects of a branch, tag or commit below a prefix, sorted by path."""
        for raw in self._pages(f"refs/{quote(ref, safe='')}/objects/ls", {"prefix": prefix}):
            found = _decode(raw, _Object, self._name)
            if found.path_type == "object":
                yield ImportedFile(
                    path=_safe(found.path, self._name),
                    location=self.url(ref, found.path),
                    size_bytes=found.size_bytes,
                    checksum=f"etag:{found.checksum}" if found.checksum else "",
                )

    def versions(self, ref: str = "main", *, prefix: str = "", limit: int = 100) -> Iterator[ImportedVersion]:
        """Yield the latest commits of a branch as versions, oldest first; one without files is left out.

        Args:
            ref: a branch, tag or commit.
            prefix: only objects below it.
            limit: how many commits back.
        """
        latest = [commit for commit, _ in zip(self.commits(ref), range(limit), strict=False)]
        for commit in reversed(latest):
            files = tuple(self.files(commit.id, prefix=prefix))
            if files:
                yield ImportedVersion(
                    name=commit.id,
                    source=commit.id,
                    message=commit.message,
                    author=commit.committer,
                    time=datetime.fromtimestamp(commit.creation_date, UTC),
                    files=files,
                )

    def open(self, ref: str, path: str, **options: Any) -> SourceStream:  # noqa: ANN401 - options of the format
        """Open a file, a folder (a path that ends with `/`) or a pattern of a branch, tag or commit."""
        return open_source(self.url(ref, path), store_options=self.store_options, **options)

    def url(self, ref: str, path: str) -> str:
        """Return the address of an object at the S3 gateway; open it with `store_options`."""
        return f"s3://{self._repository}/{quote(ref)}/{quote(path, safe='/*?[]')}"

    def _pages(self, path: str, query: dict[str, str]) -> Iterator[msgspec.Raw]:
        after = ""
        while True:
            answer = self._get(path, {**query, "amount": str(_PAGE), "after": after})
            page = _decode(answer, _Listing, self._name)
            yield from page.results
            if not page.pagination.has_more:
                return
            if page.pagination.next_offset == after:
                raise UnreadableHistoryError(
                    f"{self._name} repeats a page of its answer. Check its version.", subject=self._name
                )
            after = page.pagination.next_offset

    def _get(self, path: str, query: dict[str, str]) -> bytes:
        url = f"{self._endpoint}/api/v1/repositories/{quote(self._repository, safe='')}/{path}"
        try:
            answer = self._pool.request("GET", url, fields=query)
        except urllib3.exceptions.HTTPError as error:
            raise SourceUnavailableError(
                f"{self._name} does not answer: {error}. Check its address, or try again later.",
                subject=self._name,
            ) from error
        if answer.status == _OK:
            return answer.data
        raise self._refusal(answer.status, path)

    def _refusal(self, status: int, path: str) -> Exception:
        if status in _MISSING:
            return NoRepositoryError(
                f"{self._name} has no {path} (HTTP {status}). Check the repository and the branch.",
                subject=self._name,
            )
        if status in _REFUSED:
            return SourceRefusedError(
                f"{self._name} refuses us (HTTP {status}). Check the access key and its rights.",
                subject=self._name,
            )
        return SourceUnavailableError(
            f"{self._name} answers HTTP {status} for {path}. Try again later.", subject=self._name
        )


def _decode(content: bytes | msgspec.Raw, kind: Any, name: str) -> Any:  # noqa: ANN401 - a struct class and its instance
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.MsgspecError as error:
        raise UnreadableHistoryError(
            f"{name} answers in a form that is not known: {error}. Is this the address of lakeFS, not of its gateway alone?",
            subject=name,
        ) from error


def _safe(path: str, name: str) -> str:
    if path.startswith("/") or ".." in path.split("/"):
        raise UnsafePathError(
            f"{name} has an object {path}, whose path leaves its folder. Rename it there.", subject=path
        )
    return path
