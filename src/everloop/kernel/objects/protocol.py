"""What an object store offers; the local store and the remote client both pass `everloop.testing.objects`.

Tests: tests/contract/test_objects.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from everloop.core.errors import EverloopError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from typing_extensions import Buffer

    from everloop.core.digests import Digest

Content = bytes | Path | Iterable[bytes | memoryview]
"""Bytes, a file, or a stream of pieces; a piece is used before the next one is asked for."""


class ObjectNotFoundError(NotFoundError):
    """No object has this digest."""

    code = "objects.not-found"


class LostObjectError(ObjectNotFoundError):
    """The catalog lists the object, but its file is gone from the store."""

    code = "objects.lost"


class DigestMismatchError(EverloopError):
    """Stored bytes no longer hash to the name they are stored under."""

    code = "objects.digest-mismatch"
    status = 500


@runtime_checkable
class Objects(Protocol):
    """Stores immutable bytes under their digest.

    Threads may share one store. An object is visible only when it is whole. Putting the same bytes again is
    free of effect and keeps them from being collected for another grace period. What a reader gets is checked
    against the digest as the store's setting says.
    """

    def put(self, content: Content, *, durable: bool = True) -> Digest:
        """Store bytes, a file or a stream; return the digest.

        Args:
            content: what to store; a stream is read once.
            durable: wait until the bytes are on the disk; without it a power cut may lose them, a kill may
                not.
        """
        ...

    def put_many(self, contents: Sequence[bytes], *, durable: bool = True) -> list[Digest]:
        """Store many small pieces with a handful of writes; return their digests in order."""
        ...

    def put_new(self, contents: Mapping[Digest, Buffer], *, durable: bool = True) -> set[Digest]:
        """Store buffers under digests that the caller has just taken of them; return those that were new.

        All of it is in memory, so put a large collection batch by batch.
        """
        ...

    def get(self, digest: Digest, *, verify: bool | None = None) -> bytes:
        """Return the bytes; `verify` overrides the store's setting."""
        ...

    def get_many(self, digests: Iterable[Digest]) -> Iterator[tuple[Digest, bytes]]:
        """Yield objects with their bytes, each once, in the order that reads best."""
        ...

    def get_range(self, digest: Digest, start: int, length: int) -> bytes:
        """Return `length` bytes from `start`, fewer at the end of the object; never verified."""
        ...

    def exists(self, digest: Digest) -> bool:
        """Return whether the object can be read."""
        ...

    def missing(self, digests: Iterable[Digest]) -> set[Digest]:
        """Return which of the objects are not in the store; keep the others for another grace period."""
        ...

    def size(self, digest: Digest) -> int:
        """Return the number of bytes."""
        ...

    def path(self, digest: Digest) -> Path:
        """Return a local file with the content, to be read or mapped, never written."""
        ...

    def delete(self, digest: Digest) -> None:
        """Forget the object; do nothing when there is none."""
        ...
