"""The objects of a server over HTTP; passes the same contract as the local store.

What is fetched for `path` is checked against its digest and kept in a folder of the process. Tests: tests/contract/test_objects.py,
tests/integration/test_remote.py.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from everloop.core.digests import Digest, digest_bytes, digest_file
from everloop.core.errors import NotFoundError, PermissionDeniedError
from everloop.core.ids import new_id
from everloop.kernel.objects.protocol import Content, DigestMismatchError
from everloop.kernel.operations.transport import API

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from typing_extensions import Buffer

    from everloop.kernel.operations.transport import Transport


class RemoteObjects:
    """Objects behind a `Transport`. Threads may share it."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._folder = tempfile.TemporaryDirectory(prefix="everloop-objects-", ignore_cleanup_errors=True)

    def put(self, content: Content, *, durable: bool = True) -> Digest:
        """Send bytes, a file or a stream; what the server has is not sent again."""
        if isinstance(content, bytes):
            return self._send(digest_bytes(content), content)
        if isinstance(content, Path):
            return self._send(digest_file(content), content)
        spooled = Path(self._folder.name) / new_id()
        with spooled.open("wb") as file:
            file.writelines(content)
        try:
            return self.put(spooled, durable=durable)
        finally:
            spooled.unlink()

    def put_many(self, contents: Sequence[bytes], *, durable: bool = True) -> list[Digest]:
        """Send several contents; return their digests in order."""
        return [self.put(content, durable=durable) for content in contents]

    def put_new(self, contents: Mapping[Digest, Buffer], *, durable: bool = True) -> set[Digest]:
        """Send what the server does not have; return the digests of it."""
        del durable
        missing = self.missing(contents)
        for digest in missing:
            self._transport.request("PUT", _address(digest), body=bytes(contents[digest]))
        return missing

    def get(self, digest: Digest, *, verify: bool | None = None) -> bytes:
        """Return an object's bytes, checked unless `verify` is False."""
        content = self._transport.request("GET", _address(digest)).data
        if verify is not False and digest_bytes(content) != digest:
            raise DigestMismatchError(
                f"object {digest} was damaged on its way or in the store. Run `everloop fsck` on the server."
            )
        return content

    def get_many(self, digests: Iterable[Digest]) -> Iterator[tuple[Digest, bytes]]:
        """Fetch objects, each once."""
        return ((digest, self.get(digest)) for digest in dict.fromkeys(digests))

    def get_range(self, digest: Digest, start: int, length: int) -> bytes:
        """Return `length` bytes from `start`, fewer at the end."""
        fields = [("start", str(start)), ("length", str(length))]
        return self._transport.request("GET", f"{_address(digest)}/range", fields=fields).data

    def exists(self, digest: Digest) -> bool:
        """Return whether the server has the object."""
        try:
            self.size(digest)
        except NotFoundError:
            return False
        return True

    def missing(self, digests: Iterable[Digest]) -> set[Digest]:
        """Return which of the objects the server does not have."""
        return {digest for digest in set(digests) if not self.exists(digest)}

    def size(self, digest: Digest) -> int:
        """Return an object's size in bytes."""
        return int(msgspec.json.decode(self._transport.request("GET", f"{_address(digest)}/size").data))

    def path(self, digest: Digest) -> Path:
        """Return a local copy of the object, fetched once."""
        target = Path(self._folder.name) / digest.removeprefix("b3:")
        if not target.exists():
            partial = target.with_suffix(f".{new_id()}")
            partial.write_bytes(self.get(digest))
            partial.replace(target)
        return target

    def delete(self, digest: Digest) -> None:
        """Refuse: objects are collected on the server, never by a client."""
        raise PermissionDeniedError(
            f"a client cannot delete {digest}; the server collects what nothing refers to (`everloop gc`)"
        )

    def close(self) -> None:
        """Remove the fetched copies."""
        self._folder.cleanup()

    def _send(self, digest: Digest, content: bytes | Path) -> Digest:
        if self.exists(digest):
            return digest
        if isinstance(content, bytes):
            self._transport.request("PUT", _address(digest), body=content)
        else:
            with content.open("rb") as file:
                self._transport.request("PUT", _address(digest), body=file)
        return digest


def _address(digest: str) -> str:
    return f"{API}/objects/{digest}"
