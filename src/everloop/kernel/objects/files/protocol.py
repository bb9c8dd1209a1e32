"""What the files of a store offer, and their errors.

Tests: tests/contract/test_objects.py, tests/integration/test_objects_s3.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from everloop.core.errors import EverloopError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from typing_extensions import Buffer


class DiskFullError(EverloopError):
    """The disk of the object store is full; nothing was kept of the write."""

    code = "objects.disk-full"
    status = 507


class StoreUnavailableError(UnavailableError):
    """The object store does not answer, or refuses us."""

    code = "objects.unavailable"


class StoredFile(NamedTuple):
    """One file of a store."""

    name: str
    size: int
    modified_at: datetime


class Files(Protocol):
    """Named files that appear whole or not at all.

    Threads may share it. A name is written once. Missing files raise `FileNotFoundError`; a full disk
    `DiskFullError`; a store that does not answer `StoreUnavailableError`.
    """

    place: str
    staging: Path

    def write(self, name: str, pieces: Sequence[Buffer], *, durable: bool) -> None:
        """Write a new file from pieces."""
        ...

    def adopt(self, name: str, staged: Path, *, durable: bool) -> None:
        """Make a file of the staging folder a file of the store; it leaves the staging folder."""
        ...

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        """Return bytes of a file, fewer at its end."""
        ...

    def size(self, name: str) -> int | None:
        """Return the size, or None when there is no such file."""
        ...

    def list(self, prefix: str) -> Iterator[StoredFile]:
        """Yield the files of a folder and its sub-folders."""
        ...

    def delete(self, names: Iterable[str]) -> None:
        """Delete files; those that do not exist are passed over."""
        ...

    def swap(self, name: str, content: bytes, *, expected: bytes | None) -> bool:
        """Write a small file if it holds what is expected now, None for no file; return whether it did.

        Of any number of callers that expect the same, one succeeds.
        """
        ...

    def path(self, name: str) -> Path | None:
        """Return the local file, or None when the store is elsewhere."""
        ...
